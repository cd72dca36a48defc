"""Arms of the pixel plan on the evaluation photographs, judged once and then remembered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sports_clip_pipeline.evaluation.curves import (
    ScoredArm,
    arms_table,
    learning_curves,
    score_arm,
)
from sports_clip_pipeline.journal import Journal, fingerprint
from sports_clip_pipeline.models.head import Head
from sports_clip_pipeline.models.predictor import Predictor
from sports_clip_pipeline.training.pixels.classifier import pooled_squares
from sports_clip_pipeline.training.pixels.fitted import PixelArm, predictor_of
from sports_clip_pipeline.training.pixels.squares import Squares

ARM_COLUMNS = (
    "method", "fraction", "seed", "labels", "top1", "top1_low", "top1_high", "macro_f1", "cv_top1",
    "cv_log_loss", "temperature", "hyperparameters", "elapsed_s", "reused",
)  # fmt: skip
CURVE_COLUMNS = (
    "method", "fraction", "labels", "seeds", "top1_mean", "top1_low", "top1_high", "macro_f1_mean",
)  # fmt: skip


@dataclass(frozen=True)
class PixelJudge:
    """The evaluation photographs, and how a tower of its own sees them.

    Attributes:
        squares: of the N evaluation photographs, decoded when an arm is judged.
        target: (N,) int64 in [0, C).
        classes: C labels.
        tower: name of the packaged tower whose architecture the arms have.
        views: of each photograph.
        resamples: of the intervals.
        journal: that remembers the logits.
    """

    squares: Squares
    target: np.ndarray
    classes: tuple[str, ...]
    tower: str
    views: tuple[str, ...]
    resamples: int
    journal: Journal

    def predictor(self, done: PixelArm) -> Predictor:
        """The arm as a predictor."""
        seen = self.squares.preprocessing
        return predictor_of(done, self.classes, self.tower, seen, self.views)

    def remembered(self, done: PixelArm) -> ScoredArm | None:
        """The arm's score, where it was judged before."""
        kept = self.journal.load_state(self._key(done), self._mark(done))
        return None if kept is None else self._score(done, kept[0]["logits"])

    def judge(self, done: PixelArm) -> ScoredArm:
        """The arm's score."""
        before = self.remembered(done)
        if before is not None:
            return before
        predictor = self.predictor(done)
        seen = self.squares.preprocessing
        pooled = pooled_squares(predictor.module(), self.squares.open(), seen, self.views)
        logits = predictor.head(pooled).astype(np.float32)
        self.journal.save_state(self._key(done), self._mark(done), {"logits": logits})
        return self._score(done, logits)

    def _key(self, done: PixelArm) -> str:
        return f"judged/{done.fitted.arm.key}"

    def _mark(self, done: PixelArm) -> str:
        squares = self.squares
        return fingerprint(
            done.mark, list(squares.addresses), squares.preprocessing, list(self.views)
        )

    def _score(self, done: PixelArm, logits: np.ndarray) -> ScoredArm:
        """As any other arm is scored, on what its head gave."""
        fitted = replace(done.fitted, fit=replace(done.fitted.fit, head=Head(())))
        scored = score_arm(fitted, logits, self.target, len(self.classes), self.resamples)
        return replace(scored, fitted=done.fitted)


def pixel_tables(scored: Sequence[ScoredArm], resamples: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of arms and the curves, with the columns of the feature plan's; maybe no row."""
    if not scored:
        return pd.DataFrame(columns=list(ARM_COLUMNS)), pd.DataFrame(columns=list(CURVE_COLUMNS))
    return arms_table(scored), learning_curves(scored, resamples)


def arm_names(scored: Iterable[ScoredArm]) -> list[str]:
    """The folders of the arms' predictors."""
    return [f"{arm.row['method']}-{arm.row['fraction']:g}-{arm.row['seed']}" for arm in scored]
