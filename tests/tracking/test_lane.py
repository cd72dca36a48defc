"""The way to the store: what is done, what is kept, and that nobody waits."""

import threading
import time

import pytest
from mlflow.exceptions import MlflowException

from sports_clip_pipeline.tracking import lane as lanes
from sports_clip_pipeline.tracking.lane import Lane, QueuedLane
from sports_clip_pipeline.tracking.operations import Text, Values
from sports_clip_pipeline.tracking.outbox import Header, Outbox, read_kept

HEADER = Header("http://127.0.0.1:1", "1", "run", "record", "a run")


class Store:
    """Does operations until it is gone; holds each up while `gate` is closed."""

    def __init__(self):
        self.done, self.gone, self.gate = [], False, threading.Event()
        self.gate.set()

    def do(self, operation):
        self.gate.wait(10)
        if self.gone:
            raise MlflowException("API request failed with exception Connection refused")
        self.done.append(operation.tags["n"])


def _number(n):
    return Values("record", tags={"n": str(n)})


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def told():
    return []


def _lane(kind, store, told, tmp_path):
    return kind(store.do, Outbox(tmp_path, HEADER), lambda what, error: told.append((what, error)))


def _kept(tmp_path):
    kept = read_kept(tmp_path / "record")
    return [] if kept is None else [operation.tags["n"] for operation in kept.operations]


@pytest.mark.parametrize("kind", [Lane, QueuedLane])
def test_what_a_store_takes_is_done_in_order_and_nothing_is_kept(kind, store, told, tmp_path):
    lane = _lane(kind, store, told, tmp_path)
    for n in range(50):
        lane.put(_number(n))
    lane.close()
    assert store.done == [str(n) for n in range(50)]
    assert (told, lane.is_whole, list(tmp_path.iterdir())) == ([], True, [])


@pytest.mark.parametrize("kind", [Lane, QueuedLane])
def test_a_store_that_goes_away_leaves_the_rest_in_the_outbox(kind, store, told, tmp_path):
    lane = _lane(kind, store, told, tmp_path)
    for n in range(3):
        lane.put(_number(n))
    _until(lambda: len(store.done) == 3)
    store.gone = True
    for n in range(3, 8):
        lane.put(_number(n))
    _until(lambda: lane.is_cut)
    store.gone = False
    lane.put(_number(8))
    lane.close()
    assert store.done == ["0", "1", "2"]
    assert _kept(tmp_path) == ["3", "4", "5", "6", "7", "8"]
    assert {what for what, _ in told} == {"tags"}


def test_a_full_queue_goes_to_the_outbox_and_nobody_waits(store, told, tmp_path, monkeypatch):
    monkeypatch.setattr(lanes, "ROOM", 5)
    store.gate.clear()
    lane = _lane(QueuedLane, store, told, tmp_path)
    began_s = time.monotonic()
    for n in range(20):
        lane.put(_number(n))
    assert time.monotonic() - began_s < 2
    assert told == [("tags", None)]
    store.gate.set()
    lane.close()
    assert sorted([*store.done, *_kept(tmp_path)], key=int) == [str(n) for n in range(20)]
    assert _kept(tmp_path) == [str(n) for n in range(5, 20)]


def test_a_queue_holds_so_many_characters_at_most(store, told, tmp_path, monkeypatch):
    monkeypatch.setattr(lanes, "ROOM_CHARACTERS", 1000)
    store.gate.clear()
    lane = _lane(QueuedLane, store, told, tmp_path)
    lane.put(Text("record", "a" * 900, "a.txt"))
    lane.put(Text("record", "b" * 900, "b.txt"))
    kept = read_kept(tmp_path / "record")
    assert [operation.place for operation in kept.operations] == ["b.txt"]


def test_a_store_that_hangs_is_not_waited_for(store, told, tmp_path):
    store.gate.clear()
    lane = _lane(QueuedLane, store, told, tmp_path)
    for n in range(3):
        lane.put(_number(n))
    began_s = time.monotonic()
    lane.close(stall_s=0.3)
    assert 0.3 <= time.monotonic() - began_s < 5
    assert _kept(tmp_path) == ["0", "1", "2"], "what hangs may have been done, and is kept too"


@pytest.mark.parametrize("kind", [Lane, QueuedLane])
def test_an_outbox_that_cannot_be_written_is_told_and_the_run_goes_on(kind, store, told, tmp_path):
    store.gone = True
    (tmp_path / "record").write_text("in the way")
    lane = _lane(kind, store, told, tmp_path)
    lane.put(_number(0))
    _until(lambda: lane.is_lost)
    lane.put(_number(1))
    lane.close()
    assert "the outbox cannot keep it" in told[-1][0]


def test_what_the_store_finds_wrong_is_a_defect_and_raised_where_nothing_is_queued(
    told, tmp_path, store
):
    def refuse(operation):
        raise MlflowException.invalid_parameter_value("another value")

    store.do = refuse
    with pytest.raises(MlflowException, match="another value"):
        _lane(Lane, store, told, tmp_path).put(_number(0))
    lane = _lane(QueuedLane, store, told, tmp_path)
    lane.put(_number(1))
    lane.close()
    assert (_kept(tmp_path), lane.is_cut, len(told)) == (["1"], False, 1)


def _until(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("never")
