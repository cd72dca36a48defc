"""Pixel arms joined to the feature plan: judged, and shipped where held-out labels favour them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sports_clip_pipeline.evaluation.curves import ScoredArm
from sports_clip_pipeline.evaluation.pixels import PixelScores, folder_name
from sports_clip_pipeline.predictor.predictor import Predictor
from sports_clip_pipeline.training.arm import FittedArm
from sports_clip_pipeline.training.pixels.joined import JoinedArm, better_than, predictor_of_joined
from sports_clip_pipeline.training.study import StudyData


@dataclass(frozen=True)
class JoinedScores:
    """The joined arms.

    Attributes:
        joined: the arms. pixels: those that they are made of, judged.
        embed_audit: how the frozen features were made.
    """

    joined: Sequence[JoinedArm]
    pixels: PixelScores
    embed_audit: Mapping[str, Any]

    def judged(self, features: np.ndarray) -> list[ScoredArm]:
        """Their scores.

        Args:
            features: (N, ΣD) of the evaluation photographs, by the frozen towers.
        Raises: KeyError: a pixel arm was not judged.
        """
        judge, scored = self.pixels.judge, []
        for one in self.joined:
            logits = judge.logits(one.pixel, one.mark)
            if logits is None:
                raise KeyError(one.pixel.name)
            scored.append(judge.score(one.fitted, one.logits(logits, features)))
        return scored

    def predictors(self) -> dict[str, Callable[[], Predictor]]:
        """By the name of its folder, what makes each arm's predictor."""
        return {folder_name(one.fitted.arm): partial(self._make, one) for one in self.joined}

    def shipped(
        self, chosen: Mapping[float, FittedArm], data: StudyData
    ) -> dict[float, Callable[[], Predictor]]:
        """What to ship instead of the feature plan's choice, by fraction, where that is better.

        Args:
            chosen: the feature plan's arm of each fraction, with its held-out answers.
        """
        return {
            one.fitted.arm.fraction: partial(self._make, one)
            for one in self.joined
            if self._wins(one, chosen.get(one.fitted.arm.fraction), data)
        }

    def _wins(self, one: JoinedArm, chosen: FittedArm | None, data: StudyData) -> bool:
        if chosen is None or chosen.arm.seed != one.fitted.arm.seed:
            return False
        return better_than(one, chosen, data.target[data.labelled_rows(chosen.arm)])

    def _make(self, one: JoinedArm) -> Predictor:
        pixel = self.pixels.predictor(one.pixel, one.mark)
        return predictor_of_joined(one, pixel, self.embed_audit)
