"""Recommendation in words: which method at which number of labels, and its inference cost."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from sports_clip_pipeline.fewshot.base import display_name
from sports_clip_pipeline.pipelines.finetune.config import END_TO_END_ENSEMBLE
from sports_clip_pipeline.report.rendering import template


def recommend(
    curves: pd.DataFrame,
    needed: pd.DataFrame,
    paired: pd.DataFrame,
    inference_cost: pd.DataFrame,
    names: Mapping[str, str],
    end_to_end_curves: pd.DataFrame,
) -> list[str]:
    """Paragraphs: which method at the fewest, a middle and the most labels, its accuracy and cost.

    The method named is the one that cross-validation prefers; methods that do not differ
    significantly from it, or do better on the test images, are named as such.

    Args:
        curves, end_to_end_curves: of `learning_curves`. needed: of `labels_needed`.
        paired: of `paired_comparisons`. inference_cost: of `inference_cost_table`.
        names: method -> display name.
    """
    curves = _rounded(curves).sort_values("fraction")
    paired = _rounded(paired).sort_values(["difference", "method"], ascending=[False, True])
    rivals, zero_shot = (paired[paired["role"] == role] for role in ("best", "zero_shot"))
    best = _preferred_methods(curves, rivals)
    preferred = curves[curves["method"] == curves["fraction"].map(best)]
    gains = zero_shot.merge(preferred[["fraction", "method", "labels"]]).sort_values("fraction")
    better = gains[gains["distinguishable"].astype(bool) & (gains["difference"] > 0)]
    measured = inference_cost.dropna(subset=["ms_per_image", "parameters"])
    costs = {row.method: (row.ms_per_image, row.parameters) for row in measured.itertuples()}
    fractions = curves["fraction"].unique()
    shown = preferred["fraction"].isin(fractions[[0, len(fractions) // 2, -1]])
    ensemble = end_to_end_curves[end_to_end_curves["method"] == END_TO_END_ENSEMBLE]
    methods = needed["target"].map(lambda target: _method_for(target, curves, best))
    targets = needed[needed["method"] == methods].sort_values("target")
    text = template("recommendation.txt.j2").render(
        name=partial(display_name, names=names),
        isfinite=math.isfinite,
        costs=costs,
        gains=gains.to_dict("records"),
        better=better.head(1).to_dict("records"),
        choices=[_choice(point, rivals, costs) for point in preferred[shown].to_dict("records")],
        end_to_end=ensemble.sort_values("labels").to_dict("records"),
        targets=targets.to_dict("records"),
        most=curves["labels"].max(),
    )
    return [part.strip("\n") for part in text.split("\n\n") if part.strip("\n")]


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose fractions have six digits, as in the names of trials."""
    return table.assign(fraction=[float(f"{fraction:g}") for fraction in table["fraction"]])


def _preferred_methods(curves: pd.DataFrame, rivals: pd.DataFrame) -> pd.Series:
    """The method that cross-validation prefers at each fraction, or the only one there is."""
    alone = curves.drop_duplicates("fraction", keep=False).set_index("fraction")["method"]
    return rivals.groupby("fraction")["against"].first().combine_first(alone)


def _choice(
    point: dict[Any, Any], rivals: pd.DataFrame, costs: Mapping[Any, Any]
) -> dict[Any, Any]:
    """A preferred method's point of the curves, and how the other methods compare to it."""
    rows = rivals[rivals["fraction"] == point["fraction"]].to_dict("records")
    tied = [row for row in rows if not row["distinguishable"]]
    better = [row for row in rows if row["distinguishable"] and row["difference"] > 0]
    own = costs.get(point["method"], (0.0, 0.0))
    cheaper = [row["method"] for row in tied if costs.get(row["method"], own) < own]
    return {
        **point,
        "tied": tied,
        "better": better,
        "runner_up": rows[0] if rows and not tied and not better else None,
        "cheapest": min(cheaper, key=lambda method: (*costs[method], method), default=None),
    }


def _method_for(target: float, curves: pd.DataFrame, best: pd.Series) -> Any:
    """The best method at the first fraction where it reaches the target, else at the last."""
    known = best.reindex(curves["fraction"].unique()).ffill()
    own = curves[curves["method"] == curves["fraction"].map(known)]
    return [*own.loc[own["top1_mean"] >= target, "method"], known.iloc[-1]][0]
