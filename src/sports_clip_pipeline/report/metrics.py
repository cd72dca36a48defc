"""`metrics.json`: the study's numbers as one nested object for scripts, and as text.

`python -m sports_clip_pipeline.report.metrics data/08_reporting/sample` prints a summary.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.evaluation.metrics import SUMMARY_METRICS

if TYPE_CHECKING:
    import pandas as pd


def compose_metrics(
    zero_shot: Mapping[str, Any], retrieval: Mapping[str, Any], *curves: "pd.DataFrame"
) -> dict[str, Any]:
    """The fixed form: `zero_shot`, `retrieval` by direction, `finetune` by method and fraction.

    Args:
        zero_shot: at least `top1`, `top5`, `macro_f1`, shares.
        retrieval: `{t2i: {r1, r5, r10}, i2t: {...}}`, shares.
        curves: learning curves of methods on frozen encoders, and of those trained end to end.
    Returns: JSON-like; fractions are strings from "0.01" to "1.0"; every share in [0, 1].
    Raises: ValueError: a share outside [0, 1], a method with a dot, or a point twice.
    """
    finetune: dict[str, dict[str, Any]] = {}
    for row in (row for table in curves for row in table.to_dict("records")):
        method, key = str(row["method"]), fraction_key(row["fraction"])
        if "." in method or key in finetune.get(method, {}):
            raise ValueError(f"metrics: {method!r} holds a dot, or fraction {key} twice")
        path = f"finetune > {method} > {key}"
        ends = (row["top1_low"], row["top1_high"])
        finetune.setdefault(method, {})[key] = {
            "top1_mean": _share(row["top1_mean"], f"{path} > top1_mean"),
            "top1_ci95": [_share(end, f"{path} > top1_ci95") for end in ends],
            "macro_f1_mean": _share(row["macro_f1_mean"], f"{path} > macro_f1_mean"),
            "seeds": [int(seed) for seed in row["seeds"]],
            "labels": int(row["labels"]),
        }
    return {
        "zero_shot": {
            name: _share(zero_shot[name], f"zero_shot > {name}") for name in SUMMARY_METRICS
        },
        "retrieval": {
            way: {
                rank: _share(retrieval[way][rank], f"retrieval > {way} > {rank}")
                for rank in ("r1", "r5", "r10")
            }
            for way in ("t2i", "i2t")
        },
        "finetune": finetune,
    }


def fraction_key(fraction: float) -> str:
    """A label fraction as the shortest decimal string: 0.01 is "0.01", 1 is "1.0"."""
    return repr(float(f"{float(fraction):.6g}"))


def _share(value: Any, path: str) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"metrics {path} is no share in [0, 1]: {value!r}")
    return float(value)


def summary(folder: Path) -> str:
    """The headline numbers of a finished study as lines of text, and the path of its report.

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
    ]
    for method, points in metrics["finetune"].items():
        ordered = sorted(points.items(), key=lambda item: float(item[0]))
        cells = [f"{point['labels']} labels {point['top1_mean']:.1%}" for _, point in ordered]
        lines.append(f"{method:<22} " + "   ".join(cells))
    return "\n".join([*lines, "", f"report: {(folder / 'report.html').resolve()}"])


if __name__ == "__main__":
    try:
        print(summary(Path(sys.argv[1])))
    except UserFacingError as error:
        sys.exit(f"Error: {error}")
