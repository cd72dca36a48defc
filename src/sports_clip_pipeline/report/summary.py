"""The headline numbers of a finished study, in the terminal.

`python -m sports_clip_pipeline.report.summary data/08_reporting/sample`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sports_clip_pipeline.errors import UserFacingError


def summary(folder: Path) -> str:
    """Lines with the headline numbers and the report's place.

    Args:
        folder: `data/08_reporting/<study>`, with `metrics.json` and `report.html`.
    Raises: UserFacingError: there is no `metrics.json`.
    """
    path = folder / "metrics.json"
    if not path.is_file():
        raise UserFacingError(path, "is missing", "run `kedro run` first")
    metrics = json.loads(path.read_text())
    zero_shot, t2i = metrics["zero_shot"], metrics["retrieval"]["t2i"]
    lines = [
        "",
        f"zero-shot          top-1 {zero_shot['top1']:6.1%}   top-5 {zero_shot['top5']:6.1%}",
        f"text to image      R@1   {t2i['r1']:6.1%}   R@5   {t2i['r5']:6.1%}",
        *(_method(name, points) for name, points in metrics["finetune"].items()),
        "",
        f"report: {(folder / 'report.html').resolve()}",
    ]
    return "\n".join(lines)


def _method(name: str, points: dict[str, Any]) -> str:
    ordered = sorted(points.items(), key=lambda item: float(item[0]))
    cells = [f"{point['labels']} labels {point['top1_mean']:.1%}" for _, point in ordered]
    return f"{name:<22} " + "   ".join(cells)


if __name__ == "__main__":
    try:
        print(summary(Path(sys.argv[1])))
    except UserFacingError as error:
        sys.exit(f"Error: {error}")
