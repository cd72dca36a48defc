"""Telling the dead from the living, and one at a time."""

from sports_clip_pipeline.tracking.locks import dead, end_life, fall_silent, show_life

LIVE = """
from sports_clip_pipeline.tracking.locks import show_life
print(show_life(project / "alive", "a store"), flush=True)
sys.stdin.read()
"""


def test_a_process_is_alive_until_it_is_killed(script, project):
    process = script(LIVE)
    name = process.stdout.readline().strip()
    assert dead(project / "alive", "a store") == []
    process.kill()
    process.wait()
    assert dead(project / "alive", "a store") == [name]
    assert dead(project / "alive", "another store") == []


def test_this_process_is_not_dead(tmp_path):
    name = show_life(tmp_path, "a store")
    assert dead(tmp_path, "a store") == []
    end_life(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_silent_one_is_left_for_the_next_start(tmp_path):
    name = show_life(tmp_path, "a store")
    fall_silent(name)
    assert dead(tmp_path, "a store") == [name]


def test_no_folder_has_no_dead(tmp_path):
    assert dead(tmp_path / "none", "a store") == []


def test_one_process_at_a_time_holds_a_lock(script, project):
    lines = """
from sports_clip_pipeline.tracking.locks import exclusive
sys.stdin.readline()
for _ in range(20):
    with exclusive(project / "lock"):
        count = int((project / "count").read_text())
        time.sleep(0.001)
        (project / "count").write_text(str(count + 1))
"""
    (project / "count").write_text("0")
    processes = [script(lines) for _ in range(3)]
    for process in processes:
        process.communicate("go\n")
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert (project / "count").read_text() == "60"
