"""Inference cost of each method: parameters and milliseconds of the encoders that it runs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.fewshot.base import METHODS
from sports_clip_pipeline.pipelines.finetune.config import END_TO_END_ENSEMBLE


def inference_cost_table(
    curves: pd.DataFrame,
    encoders: Sequence[Mapping[str, Any]],
    trained: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Inference cost of each method beside its accuracy; the head's own cost is negligible.

    Args:
        curves: of `learning_curves`; end-to-end ones too where `trained` is given.
        encoders: the first encoder and the additional ones: `name`, `parameters`, `ms_per_image`
            (over all views; None where it was not measured).
        trained: the same of the encoder that is trained end to end, at its size and views.
    Returns: one row a method: `method`, `encoders` (names), `parameters`, `ms_per_image`, and
        `top1_F` at each fraction F.
    """
    rows = []
    for method, points in curves.groupby("method", sort=True):
        used = _encoders_of(str(method), encoders, trained)
        times = [np.nan if e["ms_per_image"] is None else e["ms_per_image"] for e in used]
        rows.append(
            {
                "method": method,
                "encoders": " + ".join(encoder["name"] for encoder in used),
                "parameters": sum(encoder["parameters"] for encoder in used),
                "ms_per_image": float(np.sum(times)),
                **{f"top1_{p.fraction:g}": p.top1_mean for p in points.itertuples()},
            }
        )
    return pd.DataFrame(rows)


def _encoders_of(
    method: str, encoders: Sequence[Mapping[str, Any]], trained: Mapping[str, Any] | None
) -> list[Mapping[str, Any]]:
    """The encoders that a method's predictor runs."""
    if method in METHODS:
        return list(encoders if METHODS[method].space == "all_encoders" else encoders[:1])
    assert trained is not None, f"{method} is trained end to end"
    return [trained, *encoders] if method == END_TO_END_ENSEMBLE else [trained]
