"""How long `kedro --help` and `kedro registry list` take here and in an empty Kedro project.

The empty project is made in a temporary folder, with the same interpreter and therefore the same
plugins. The two projects take turns (A B A B …), so that whatever else the machine does meets both.

    python benchmarks/start_up.py [--runs 11] [--force]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
COMMANDS = (("--help",), ("registry", "list"))
LIMIT = 1.3
"""The project's promise: at most this many times the empty project."""
BUSY_LOAD = 1.5
PACKAGE = "empty_project"
FILES = {
    "pyproject.toml": f"""\
[tool.kedro]
package_name = "{PACKAGE}"
project_name = "{PACKAGE}"
kedro_init_version = "1.7.0"
source_dir = "src"
""",
    ".telemetry": "consent: false\n",
    f"src/{PACKAGE}/__init__.py": "",
    f"src/{PACKAGE}/settings.py": "",
    f"src/{PACKAGE}/pipeline_registry.py": """\
from kedro.pipeline import Pipeline


def register_pipelines():
    return {"__default__": Pipeline([])}
""",
    "conf/base/catalog.yml": "",
    "conf/local/.gitkeep": "",
}


def make_empty_project(place: Path) -> Path:
    """A Kedro project with nothing in it."""
    for name, text in FILES.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return place


def elapsed_s(project: Path, command: tuple[str, ...]) -> float:
    """Wall seconds of one `kedro` command. Raises: RuntimeError: it failed."""
    start = time.perf_counter()
    done = subprocess.run(
        [Path(sys.executable).with_name("kedro"), *command],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"kedro {' '.join(command)} failed in {project}: {done.stderr}")
    return seconds


def medians(ours: Path, empty: Path, command: tuple[str, ...], runs: int) -> tuple[float, float]:
    """Median seconds of both projects, in turn, after one unmeasured run of each."""
    taken: dict[Path, list[float]] = {ours: [], empty: []}
    for turn in range(runs + 1):
        for project, seconds in taken.items():
            value = elapsed_s(project, command)
            if turn:
                seconds.append(value)
    return statistics.median(taken[ours]), statistics.median(taken[empty])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=11, help="measured runs of each (default: 11)")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    if load > BUSY_LOAD and not given.force:
        print(
            f"Error: the load average is {load:.1f}, wanted at most {BUSY_LOAD}; "
            "wait until the machine is idle, or measure all the same with --force",
            file=sys.stderr,
        )
        return 1
    print(f"median of {given.runs} runs in turn, load average {load:.1f}\n")
    print("| command | this project s | empty project s | ratio | |\n|---|---|---|---|---|")
    short = False
    with tempfile.TemporaryDirectory() as folder:
        empty = make_empty_project(Path(folder))
        for command in COMMANDS:
            ours_s, empty_s = medians(PROJECT, empty, command, given.runs)
            ratio = ours_s / empty_s
            short |= ratio > LIMIT
            verdict = "pass" if ratio <= LIMIT else "short"
            name = f"`kedro {' '.join(command)}`"
            print(f"| {name} | {ours_s:.2f} | {empty_s:.2f} | {ratio:.2f} | {verdict} |")
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
