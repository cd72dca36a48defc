"""Arms of the pixel plan on the evaluation photographs, judged once and then remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd

from sports_clip_pipeline.evaluation.curves import ScoredArm, arms_table, learning_curves, score_arm
from sports_clip_pipeline.journal import Journal, fingerprint
from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.predictor.predictor import Predictor
from sports_clip_pipeline.training.arm import Arm, FittedArm
from sports_clip_pipeline.training.pixels.arms import read_pixel_arm
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
        logits = self.logits(done.fitted.arm, done.mark)
        return None if logits is None else self.score(done.fitted, logits)

    def judge(self, done: PixelArm) -> ScoredArm:
        """The arm's score."""
        before = self.remembered(done)
        if before is not None:
            return before
        predictor = self.predictor(done)
        seen = self.squares.preprocessing
        pooled = pooled_squares(predictor.module(), self.squares.open(), seen, self.views)
        logits = predictor.head(pooled).astype(np.float32)
        arm, mark = done.fitted.arm, done.mark
        self.journal.save_state(_key(arm), self._mark(mark), {"logits": logits})
        return self.score(done.fitted, logits)

    def score(self, fitted: FittedArm, logits: np.ndarray) -> ScoredArm:
        """As any other arm is scored, on what its head gave."""
        given = replace(fitted, fit=replace(fitted.fit, head=Head(())))
        scored = score_arm(given, logits, self.target, len(self.classes), self.resamples)
        return replace(scored, fitted=fitted)

    def logits(self, arm: Arm, mark: str) -> np.ndarray | None:
        """Remembered answers (N, C) of a pixel arm, or None where it was not judged."""
        kept = self.journal.load_state(_key(arm), self._mark(mark))
        return None if kept is None else kept[0]["logits"]

    def _mark(self, mark: str) -> str:
        squares = self.squares
        return fingerprint(mark, list(squares.addresses), squares.preprocessing, list(self.views))


def _key(arm: Arm) -> str:
    return f"judged/{arm.key}"


@dataclass(frozen=True)
class PixelScores:
    """The pixel arms that were judged.

    Attributes:
        judge: of them. trained: the arms without their towers, which the judge's journal keeps.
        scored: their scores, in the same order.
    """

    judge: PixelJudge
    trained: list[PixelArm] = field(default_factory=list)
    scored: list[ScoredArm] = field(default_factory=list)

    def add(self, done: PixelArm, scored: ScoredArm) -> None:
        """One more arm with its score."""
        self.trained.append(replace(done, tower_weights={}))
        self.scored.append(scored)

    def predictor(self, arm: Arm, mark: str) -> Predictor:
        """An arm as a predictor, its tower read again. Raises: KeyError: it is not kept."""
        done = read_pixel_arm(arm, mark, self.judge.journal)
        if done is None:
            raise KeyError(arm.name)
        return self.judge.predictor(done)

    def predictors(self) -> dict[str, Callable[[], Predictor]]:
        """By the name of its folder, what makes each arm's predictor."""
        return {
            folder_name(done.fitted.arm): partial(self.predictor, done.fitted.arm, done.mark)
            for done in self.trained
        }


def pixel_tables(scored: Sequence[ScoredArm], resamples: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of arms and the curves, with the columns of the feature plan's; maybe no row."""
    if not scored:
        return pd.DataFrame(columns=list(ARM_COLUMNS)), pd.DataFrame(columns=list(CURVE_COLUMNS))
    return arms_table(scored), learning_curves(scored, resamples)


def folder_name(arm: Arm) -> str:
    """The folder of an arm's predictor."""
    return f"{arm.method}-{arm.fraction:g}-{arm.seed}"
