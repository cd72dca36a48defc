from __future__ import annotations

import pytest

from sports_clip_pipeline.errors import WorkerDone
from sports_clip_pipeline.machine import (
    barrier,
    cores_per_process,
    exit_unless_main_process,
    is_main_process,
    own_shard,
    rank_and_world_size,
    set_cuda_device,
)


def told(monkeypatch: pytest.MonkeyPatch, **environment: str) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_a_process_that_nobody_told_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch)
    assert rank_and_world_size() is None
    assert is_main_process()
    assert own_shard([1, 2, 3]) == [1, 2, 3]
    assert cores_per_process(6) == 6
    barrier()
    exit_unless_main_process("work")


def test_the_parts_of_all_processes_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = []
    for rank in range(3):
        told(monkeypatch, RANK=str(rank), WORLD_SIZE="3")
        assert rank_and_world_size() == (rank, 3)
        parts.append(own_shard(list(range(8))))
    assert parts == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_all_but_the_first_end_when_their_part_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, RANK="0", WORLD_SIZE="2")
    exit_unless_main_process("work")
    told(monkeypatch, RANK="1", WORLD_SIZE="2")
    with pytest.raises(WorkerDone, match="process 1 of 2 has done its part of work"):
        exit_unless_main_process("work")


def test_processes_of_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, LOCAL_WORLD_SIZE="4")
    assert [cores_per_process(count) for count in (16, 6, 2)] == [4, 1, 1]


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
    set_cuda_device()
    assert devices == []
    for rank in ("0", "1", "2"):
        told(monkeypatch, RANK="5", WORLD_SIZE="6", LOCAL_RANK=rank, LOCAL_WORLD_SIZE="3")
        set_cuda_device()
    assert devices == [0, 1, 0]


def test_a_device_that_cannot_be_used_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, devices: list[int]
) -> None:
    """A driver that is too old counts its devices all the same."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    told(monkeypatch, RANK="1", WORLD_SIZE="2", LOCAL_RANK="1", LOCAL_WORLD_SIZE="2")
    set_cuda_device()
    assert devices == []
