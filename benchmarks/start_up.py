"""How long `kedro --help` and `kedro registry list` take here and in an empty Kedro project.

The empty project is made in a temporary folder, with the same interpreter and therefore the same
plugins. The two projects take turns (A B A B …), so that whatever else the machine does meets both.

    python benchmarks/start_up.py [--runs 11] [--force]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from side_by_side import Process, add_force, refuse_when_busy, take_turns

PROJECT = Path(__file__).resolve().parents[1]
COMMANDS = (("--help",), ("registry", "list"))
LIMIT = 1.3
"""The project's promise: at most this many times the empty project."""
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


def medians(ours: Path, empty: Path, command: tuple[str, ...], runs: int) -> tuple[float, float]:
    """Median seconds of both projects, in turn, after one unmeasured run of each."""
    kedro = Path(sys.executable).with_name("kedro")
    sides = {str(place): Process([kedro, *command], place) for place in (ours, empty)}
    take_turns(sides, 1)
    taken = take_turns(sides, runs)
    return taken[str(ours)], taken[str(empty)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=11, help="measured runs of each (default: 11)")
    add_force(parser)
    given = parser.parse_args()
    load = refuse_when_busy(given.force)
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
