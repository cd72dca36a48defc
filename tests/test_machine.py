import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from sports_clip_pipeline.errors import WorkerDone
from sports_clip_pipeline.machine import (
    barrier,
    cores,
    cores_per_process,
    exit_unless_main_process,
    exit_with_parent,
    is_main_process,
    own_shard,
    rank_and_world_size,
    set_cuda_device,
)

PARENT = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from sports_clip_pipeline.machine import exit_with_parent, worker_context

if __name__ == "__main__":
    context = {"spawn": get_context("spawn"), "forkserver": worker_context(["json"])}[sys.argv[1]]
    pool = ProcessPoolExecutor(2, context, exit_with_parent)
    list(pool.map(abs, range(8)))
    print("ready", flush=True)
    time.sleep(60)
"""
GARBAGE = """
import atexit
from sports_clip_pipeline.machine import skip_gc_at_exit

class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        print("collected", flush=True)

cycle = Cycle()
atexit.register(print, "closed")
if {skip}:
    skip_gc_at_exit()
del cycle
"""


def run_python(script: str, *arguments: str) -> str:
    """Standard output of a script in its own process."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("skip", "expected"), [(True, ["closed"]), (False, ["closed", "collected"])]
)
def test_garbage_collection_at_exit_can_be_skipped(skip: bool, expected: list) -> None:
    assert run_python(GARBAGE.format(skip=skip)).split() == expected


def test_cores_are_those_of_the_affinity_or_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for count, expected in ((6, 6), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert cores() == expected


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is a matter of Unix")
@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_workers_end_when_their_parent_is_killed(tmp_path, context: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, str(script), context]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    workers = psutil.Process(parent.pid).children(recursive=True)
    assert workers
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    parent.stdout.close()
    assert not any(alive(worker) for worker in workers)


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


PRELOADED = """
import sys
from concurrent.futures import ProcessPoolExecutor
from sports_clip_pipeline.machine import worker_context

def imported(number):
    return "numpy" in sys.modules

if __name__ == "__main__":
    with ProcessPoolExecutor(1, worker_context(["numpy"])) as pool:
        print(pool.submit(imported, 0).result())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are spawned")
def test_workers_start_with_preloaded_modules(tmp_path) -> None:
    script = tmp_path / "preloaded.py"
    script.write_text(PRELOADED)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


PAGE_FAULTS = """
import resource, sys
import numpy as np
from sports_clip_pipeline.machine import retain_freed_memory
if sys.argv[1] == "retained":
    assert retain_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**25, np.uint8)
before = faults()
for _ in range(8):
    np.ones(2**25, np.uint8)
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_retained_memory_causes_few_page_faults() -> None:
    """32 MiB allocated eight times."""
    retained, returned = (int(run_python(PAGE_FAULTS, mode)) for mode in ("retained", "returned"))
    assert retained * 10 < returned


def set_environment(monkeypatch: pytest.MonkeyPatch, **environment: str) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_without_torchrun_a_process_is_the_main_one(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch)
    assert rank_and_world_size() is None
    assert is_main_process()
    assert own_shard([1, 2, 3]) == [1, 2, 3]
    assert cores_per_process(6) == 6
    barrier()
    exit_unless_main_process("work")
    exit_with_parent()


def test_the_shards_of_all_processes_are_a_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    shards = []
    for rank in range(3):
        set_environment(monkeypatch, RANK=str(rank), WORLD_SIZE="3")
        assert rank_and_world_size() == (rank, 3)
        shards.append(own_shard(list(range(8))))
    assert shards == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_all_but_the_main_process_end_after_their_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, RANK="0", WORLD_SIZE="2")
    exit_unless_main_process("work")
    set_environment(monkeypatch, RANK="1", WORLD_SIZE="2")
    with pytest.raises(WorkerDone, match="process 1 of 2 has done its part of work"):
        exit_unless_main_process("work")


def test_processes_of_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, LOCAL_WORLD_SIZE="4")
    assert [cores_per_process(count) for count in (16, 6, 2)] == [4, 1, 1]


@pytest.mark.parametrize(("usable", "expected"), [(True, [0, 1, 0]), (False, [])])
def test_local_ranks_go_round_the_usable_cuda_devices(
    monkeypatch: pytest.MonkeyPatch, usable: bool, expected: list[int]
) -> None:
    """A device that is counted may be unusable, as its driver is too old."""
    devices: list[int] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: usable)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", devices.append)
    set_environment(monkeypatch)
    set_cuda_device()
    assert devices == []
    for rank in ("0", "1", "2"):
        set_environment(
            monkeypatch, RANK="5", WORLD_SIZE="6", LOCAL_RANK=rank, LOCAL_WORLD_SIZE="3"
        )
        set_cuda_device()
    assert devices == expected
