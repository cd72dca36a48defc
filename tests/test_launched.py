from __future__ import annotations

import pytest

from sports_clip_pipeline.errors import PartDone
from sports_clip_pipeline.machine import (
    end_unless_leading,
    launched,
    leads,
    meet_others,
    own_cores,
    own_part,
    take_own_device,
)


def told(monkeypatch: pytest.MonkeyPatch, **environment: str) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_a_process_that_nobody_told_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch)
    assert launched() is None
    assert leads()
    assert own_part([1, 2, 3]) == [1, 2, 3]
    assert own_cores(6) == 6
    meet_others()
    end_unless_leading("work")


def test_the_parts_of_all_processes_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = []
    for rank in range(3):
        told(monkeypatch, RANK=str(rank), WORLD_SIZE="3")
        assert launched() == (rank, 3)
        parts.append(own_part(list(range(8))))
    assert parts == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_all_but_the_first_end_when_their_part_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, RANK="0", WORLD_SIZE="2")
    end_unless_leading("work")
    told(monkeypatch, RANK="1", WORLD_SIZE="2")
    with pytest.raises(PartDone, match="process 1 of 2 has done its part of work"):
        end_unless_leading("work")


def test_processes_of_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, LOCAL_WORLD_SIZE="4")
    assert [own_cores(count) for count in (16, 6, 2)] == [4, 1, 1]


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two CUDA devices that only say which of them was taken."""
    taken: list[int] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", taken.append)
    return taken


def test_processes_take_their_own_devices_and_go_round(
    monkeypatch: pytest.MonkeyPatch, devices: list[int]
) -> None:
    told(monkeypatch)
    take_own_device()
    assert devices == []
    for rank in ("0", "1", "2"):
        told(monkeypatch, RANK="5", WORLD_SIZE="6", LOCAL_RANK=rank, LOCAL_WORLD_SIZE="3")
        take_own_device()
    assert devices == [0, 1, 0]


def test_a_device_that_cannot_be_used_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, devices: list[int]
) -> None:
    """A driver that is too old counts its devices all the same."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    told(monkeypatch, RANK="1", WORLD_SIZE="2", LOCAL_RANK="1", LOCAL_WORLD_SIZE="2")
    take_own_device()
    assert devices == []
