"""The results of a study that the report reads, and the choices that several sections share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from sports_clip_pipeline.pipelines.report.config import ModelCardConfig, ReportConfig
from sports_clip_pipeline.report.method_styles import MethodStyles, display_name, method_styles

Document = Mapping[str, Any]


@dataclass(frozen=True)
class StudyResults:
    """The datasets that the report reads; `pipelines.report.pipeline.INPUTS` says which is which.

    Tables may be empty, which leaves their section out. Shares are in [0, 1], `low`
    and `high` are the ends of 95 % intervals, fraction 0 is zero-shot.

    Attributes:
        curves, end_to_end_curves: `method`, `fraction`, `labels`, `seeds`, `top1_mean`,
            `top1_low`, `top1_high`, `macro_f1_mean`.
        labels_needed: `method`, `target`, `labels`, `low`, `high`, `kind` (`interpolated`,
            `extrapolated`, `out of reach` or `measured below`); inf or NaN where there is no end.
        paired_comparisons: `fraction`, `method`, `against`, `role` (`best` or `zero_shot`),
            `seeds` (number), `difference`, `low`, `high`, `p_value`, `p_holm`, `distinguishable`.
        calibration: `method`, `fraction`, and any of `class_sections.CALIBRATION_MEASURES`.
        reliability: a row a bin: `method`, `fraction`, `confidence`, `accuracy`, `images`.
        inference_cost: `encoders`, `parameters`, `ms_per_image`, `method`, and `top1_F` for
            each label fraction F, as `top1_0.01`.
        map_verdicts: of `cam_eval`; its `answers` is a fingerprint of the predictions.
        evaluation_log: the logged evaluations on the test images, or their summary.
    """

    config: ReportConfig
    model_card: ModelCardConfig
    zero_shot: Document
    retrieval: Document
    trials: pd.DataFrame
    curves: pd.DataFrame
    finetuned: Document
    predictions: pd.DataFrame
    pretrain_history: pd.DataFrame
    ingest_audit: Document
    caption_audit: Document
    embed_audit: Document
    rejected: pd.DataFrame
    duplicates: pd.DataFrame
    gallery: Sequence[Any]
    provenance: Document
    end_to_end_trials: pd.DataFrame
    end_to_end_curves: pd.DataFrame
    labels_needed: pd.DataFrame
    recommendation: Document
    paired_comparisons: pd.DataFrame
    calibration: pd.DataFrame
    reliability: pd.DataFrame
    class_gains: pd.DataFrame
    confusion_pairs: pd.DataFrame
    label_issues: pd.DataFrame
    queries: pd.DataFrame
    thumbnails: Mapping[str, bytes]
    inference_cost: pd.DataFrame
    ablation: pd.DataFrame
    transduction: pd.DataFrame
    map_verdicts: pd.DataFrame
    evaluation_log: Sequence[dict[str, Any]] | Document

    @property
    def test_images(self) -> int:
        """How many images the accuracies are measured on."""
        return len(self.predictions)

    @property
    def best_method(self) -> str:
        """The method of the exported predictor."""
        return str(self.finetuned["best_method"])

    @cached_property
    def styles(self) -> MethodStyles:
        """Colour, symbol and visibility of each method."""
        return method_styles(self.curves, self.trials, self.end_to_end_curves, self.config)

    def name(self, method: str) -> str:
        """A method's display name."""
        return display_name(method, self.config.methods)


def preferred_point(curves: pd.DataFrame, trials: pd.DataFrame, fraction: float) -> pd.Series:
    """The point of a learning curve at a label fraction whose method cross-validation prefers.

    Methods without a cross-validation score come last, in alphabetical order: the test images
    never choose.

    Args:
        curves: `method`, `fraction`, ...
        trials: `method`, `fraction`, `cv_top1` (share, or NaN).
        fraction: one of `curves`.
    Raises: ValueError: no row at this fraction.
    """
    rows = curves[curves["fraction"] == fraction].set_index("method", drop=False).sort_index()
    if rows.empty:
        raise ValueError(f"no curve has the fraction {fraction}")
    scores = trials[trials["fraction"] == fraction].groupby("method")["cv_top1"].mean().dropna()
    return rows.loc[max(rows.index, key=lambda method: scores.get(method, -math.inf))]
