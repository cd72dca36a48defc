"""`python -m sports_clip_pipeline`: the same as `kedro run` from the project's folder."""

import sys
from pathlib import Path


def main() -> None:
    """Run the project's `run` command in its own folder."""
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(Path(__file__).resolve().parents[2])
    from sports_clip_pipeline.cli import run

    run(sys.argv[1:])


if __name__ == "__main__":
    main()
