"""What a classifier costs: the towers it asks, their parameters, and their time a photograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.config.methods import METHODS
from sports_clip_pipeline.pipelines.finetune.config import END_TO_END_ENSEMBLE


def price_table(
    curves: pd.DataFrame,
    towers: Sequence[Mapping[str, Any]],
    trained: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Accuracy beside its price. The head costs next to nothing beside the towers.

    Args:
        curves: of `learning_curves`; those of the pixel plan too where `trained` is given.
        towers: the first tower, then its additional_encoders: `name`, `parameters`, `ms_per_image`
            (over all views; None where not known).
        trained: the same of the tower that the pixel plan trains, at its size and views.
    Returns: one row a method: `method`, `towers` (names), `parameters`, `ms_per_photograph`, and
        `top1_F` at each fraction F.
    """
    rows = []
    for method, points in curves.groupby("method", sort=True):
        asked = _asked(str(method), towers, trained)
        known = [np.nan if t["ms_per_image"] is None else t["ms_per_image"] for t in asked]
        accuracy = {f"top1_{p.fraction:g}": p.top1_mean for p in points.itertuples()}
        rows.append(
            {
                "method": method,
                "towers": " + ".join(tower["name"] for tower in asked),
                "parameters": sum(tower["parameters"] for tower in asked),
                "ms_per_photograph": float(np.sum(known)),
                **accuracy,
            }
        )
    return pd.DataFrame(rows)


def _asked(
    method: str, towers: Sequence[Mapping[str, Any]], trained: Mapping[str, Any] | None
) -> list[Mapping[str, Any]]:
    """The towers that a method's predictor runs."""
    if method in METHODS:
        return list(towers if METHODS[method].space == "towers" else towers[:1])
    if trained is None:
        raise ValueError(f"{method} trains through the pixels, and its tower's price is not given")
    return [trained, *towers] if method == END_TO_END_ENSEMBLE else [trained]
