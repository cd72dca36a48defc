"""Everything that the page speaks of, in one object."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sports_clip_pipeline.pipelines.report.config import ReportConfig
from sports_clip_pipeline.reporting.figures.cast import Cast
from sports_clip_pipeline.reporting.highlights import compose_cast
from sports_clip_pipeline.reporting.judgement import Judgement
from sports_clip_pipeline.reporting.labels import method_name
from sports_clip_pipeline.reporting.model_card import ModelCard

SPLITS = ("train", "validation", "test")
PARTS = ("development", "evaluation", "unlabelled")


@dataclass(frozen=True)
class StudyResults:
    """What the other pipelines left, under the names and in the forms of docs/architecture.md.

    Attributes:
        config: the words and limits of the page.
        figures: name of the dataset -> figure; those of the judgement may be missing.
        judged: what the study concludes beyond its curves.
        card: the model card; None leaves its section out.
        the rest: the dataset of that name.
    """

    config: ReportConfig
    zero_shot_metrics: Mapping[str, Any]
    retrieval_metrics: Mapping[str, Any]
    finetune_trials: pd.DataFrame
    finetune_curves: pd.DataFrame
    finetune_metrics: Mapping[str, Any]
    test_predictions: pd.DataFrame
    pretrain_history: pd.DataFrame
    ingest_audit: Mapping[str, Any]
    tokenize_audit: Mapping[str, Any]
    embed_audit: Mapping[str, Any]
    quarantine: pd.DataFrame
    duplicates: pd.DataFrame
    cam_gallery: Sequence[Any]
    provenance: Mapping[str, Any]
    figures: Mapping[str, go.Figure]
    judged: Judgement = field(default_factory=Judgement)
    card: ModelCard | None = None

    @property
    def evaluation_photographs(self) -> int:
        """How many photographs the accuracies are measured on."""
        return len(self.test_predictions)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """The curves of both plans, as `finetune_curves`."""
        pixels = self.judged.end_to_end_curves
        if pixels.empty:
            return self.finetune_curves
        return pd.concat([self.finetune_curves, pixels], ignore_index=True)

    @cached_property
    def cast(self) -> Cast:
        """Which methods stand in front."""
        pixels = self.judged.end_to_end_curves
        return compose_cast(self.finetune_curves, self.finetune_trials, self.config, pixels)

    def called(self, method: str) -> str:
        """What people call a method."""
        return method_name(method, self.config.methods)


def chosen_point(curves: pd.DataFrame, arms: pd.DataFrame, fraction: float) -> pd.Series:
    """The row of `curves` at a fraction whose method cross-validation inside the labels prefers.

    Where no arm at this fraction could be cross-validated, the method with the best name in
    alphabetical order stands in: the evaluation photographs never choose.

    Args:
        curves: `method`, `fraction`, ...
        arms: `method`, `fraction`, `cv_top1` (share, or NaN).
        fraction: one of `curves`.
    Raises: ValueError: no row at this fraction.
    """
    rows = curves[curves["fraction"] == fraction].set_index("method", drop=False).sort_index()
    if rows.empty:
        raise ValueError(f"no curve has the fraction {fraction}")
    scores = arms[arms["fraction"] == fraction].groupby("method")["cv_top1"].mean().to_dict()

    def score(method: str) -> float:
        value = float(scores.get(method, math.nan))
        return -math.inf if math.isnan(value) else value

    return rows.loc[max(rows.index, key=score)]


def data_parts(ingest_audit: Mapping[str, Any]) -> dict[str, int]:
    """Photographs in each part of the study, by what people call it.

    Args:
        ingest_audit: `images: {corpus: {total, train, validation, test}}` of which the
            captioned one is read, and `parts: {part: photographs}` of the labelled corpus.
    """
    captioned, labelled = ingest_audit["images"]["flickr8k"], ingest_audit["parts"]
    parts = {f"Captioned: {split}": captioned[split] for split in SPLITS if split in captioned}
    parts |= {
        f"Labelled: {part.replace('_', ' ')}": labelled[part] for part in PARTS if part in labelled
    }
    return parts


def caption_mentions(tokenize_audit: Mapping[str, Any]) -> dict[str, int]:
    """How many captions mention each class, over all splits.

    Args:
        tokenize_audit: `mentions: {label: {split: captions}}`.
    """
    mentions = tokenize_audit["mentions"]
    return {label: sum(map(int, by_split.values())) for label, by_split in mentions.items()}
