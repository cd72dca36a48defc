"""End-to-end ensemble: a fine-tuned encoder's logits added to the stacked ensemble's.

One has learned from these images' pixels, the other keeps what several encoders learned from
ImageNet; they err differently, so their logits are added. Which of the fine-tuned encoders is
taken, and both weights, are fitted on labelled images that neither had learned from.

Source: Lakshminarayanan et al. 2017 (Deep ensembles), section 2; Genest and Zidek 1986, section 3
(logarithmic opinion pools); Wortsman et al. 2022, section 4 (ensembles in output space).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from sports_clip_pipeline.encoders.image_encoders import image_encoder
from sports_clip_pipeline.fewshot.base import Fit, Labelled
from sports_clip_pipeline.fewshot.cross_validation import fit_from_held_out
from sports_clip_pipeline.fewshot.end_to_end_study import (
    EndToEndPredictions,
    EndToEndStudy,
    EndToEndTrial,
    folder_name,
)
from sports_clip_pipeline.fewshot.ensemble import choose_with_zero_shot
from sports_clip_pipeline.fewshot.shipping import abstention_threshold
from sports_clip_pipeline.fewshot.study import StudyData, finished_trials
from sports_clip_pipeline.fewshot.trial import FittedTrial, TrialKey
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.end_to_end.config import END_TO_END_ENSEMBLE
from sports_clip_pipeline.pipelines.finetune.config import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head, blend, columns
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor

_LOG = logging.getLogger(__name__)
# The method over frozen features that a fine-tuned encoder is added to.
FROZEN = "stacked_ensemble"
_MIN_PROBABILITY = 1e-7


@dataclass(frozen=True)
class EnsembleTrial:
    """Two trials on the same labels as one.

    Attributes:
        fitted: the trial; its head reads the fine-tuned encoder's columns, then those of the
            frozen encoders; its temperature is 1.
        end_to_end: the end-to-end trial in it. fingerprint: of that.
        frozen: the head on frozen features.
        factors: of the logits of the two.
    """

    fitted: FittedTrial
    end_to_end: TrialKey
    fingerprint: str
    frozen: Head
    factors: tuple[float, float]

    def logits(self, end_to_end_logits: np.ndarray, features: np.ndarray) -> np.ndarray:
        """(N, C) from the end-to-end trial's logits (N, C) and frozen features (N, ΣD)."""
        ours, frozen = self.factors
        mixed: np.ndarray = ours * end_to_end_logits + frozen * self.frozen(features)
        return mixed.astype(np.float32)


def build_ensembles(
    trials: Sequence[EndToEndTrial],
    study: EndToEndStudy,
    data: StudyData,
    config: FinetuneConfig,
    journal: RunState,
) -> list[EnsembleTrial]:
    """An ensemble for each fraction and seed, with the stacked ensemble of the same labels.

    Where no such stacked ensemble was fitted, or where contrastive pretraining changed the image
    encoder that its features come from, there is none.

    Args:
        journal: of the trials over frozen features.
    """
    if study.start.clip_weights:
        _LOG.info("%s: none, as the frozen encoder is not a packaged one", END_TO_END_ENSEMBLE)
        return []
    widths = (image_encoder(study.start.tower).width, data.features.shape[1])
    groups: dict[TrialKey, list[EndToEndTrial]] = {}
    for trial in trials:
        groups.setdefault(replace(trial.fitted.key, method=FROZEN), []).append(trial)
    fitted = {one.key: one for one in finished_trials(list(groups), data, config, journal)}
    for key in sorted(groups.keys() - fitted.keys(), key=lambda key: key.name):
        _LOG.info("%s: none with %s, which was not fitted", END_TO_END_ENSEMBLE, key.name)
    return [
        build_ensemble(groups[key], one, data.target[data.labelled_rows(key)], widths)
        for key, one in fitted.items()
    ]


def build_ensemble(
    trials: Sequence[EndToEndTrial],
    frozen: FittedTrial,
    target: np.ndarray,
    widths: tuple[int, int],
) -> EnsembleTrial:
    """The fine-tuned encoder that adds most to the frozen classifier, and the two as one trial.

    Args:
        trials: end-to-end trials on one fraction and seed, with held-out predictions.
        frozen: the trial over frozen features on the same labels, with its own.
        target: (n,) int classes of the labelled images.
        widths: columns of the fine-tuned encoder, and of the frozen encoders together.
    Raises: ValueError: a trial has no held-out predictions.
    """
    log_probs = {trial.fitted.key.method: _log_probs(trial.fitted.fit) for trial in trials}
    beside = _log_probs(frozen.fit)
    both = ~np.isnan(beside[:, 0])
    held_out = {name: np.where(both[:, None], rows, np.nan) for name, rows in log_probs.items()}
    best, weights = choose_with_zero_shot(beside, held_out, target)
    chosen = next(trial for trial in trials if trial.fitted.key.method == best)
    factors = (
        weights[0] / chosen.fitted.fit.temperature,
        weights[1] / frozen.fit.temperature,
    )
    mixed = weights[0] * held_out[best] + weights[1] * beside
    head = _head(chosen.fitted.fit.head, frozen.fit.head, factors, widths)
    settings = {"pixel_method": best, "pixel_weight": weights[0], "frozen_weight": weights[1]}
    rows = Labelled(np.empty((len(target), 0)), target, np.empty(0), beside.shape[1])
    fitted = FittedTrial(
        key=replace(chosen.fitted.key, method=END_TO_END_ENSEMBLE),
        fit=fit_from_held_out(rows, mixed, head, settings),
        labels=len(target),
        elapsed_s=chosen.fitted.elapsed_s + frozen.elapsed_s,
        reused=chosen.fitted.reused and frozen.reused,
    )
    return EnsembleTrial(fitted, chosen.fitted.key, chosen.fingerprint, frozen.fit.head, factors)


def is_better(ensemble: EnsembleTrial, chosen: FittedTrial, target: np.ndarray) -> bool:
    """Whether held-out log loss improves over a trial by more than one standard error.

    An ensemble in which the fine-tuned encoder has no weight is never better.

    Args:
        chosen: a trial over frozen features on the same labels, with held-out predictions.
        target: (n,) int classes of the labelled images.
    """
    ours, other = ensemble.fitted.fit.held_out, chosen.fit.held_out
    if ensemble.factors[0] == 0.0 or ours is None or other is None:
        return False
    rows = np.flatnonzero(~np.isnan(ours[:, 0]) & ~np.isnan(other[:, 0]))
    gain = np.log(np.maximum(ours[rows, target[rows]], _MIN_PROBABILITY)) - np.log(
        np.maximum(other[rows, target[rows]], _MIN_PROBABILITY)
    )  # (n,) nats
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))


def ensemble_predictor(
    ensemble: EnsembleTrial, end_to_end: Predictor, embed_audit: Mapping[str, Any]
) -> Predictor:
    """The ensemble as a predictor of its own.

    Args:
        end_to_end: predictor of its end-to-end trial. embed_audit: how frozen features were made.
    """
    fitted = ensemble.fitted
    return replace(
        end_to_end,
        head=fitted.fit.head,
        temperature=fitted.fit.temperature,
        additional_encoders=tuple(EncoderInput.from_dict(row) for row in embed_audit["encoders"]),
        origin={
            **end_to_end.origin,
            "method": END_TO_END_ENSEMBLE,
            "hyperparameters": fitted.fit.hyperparameters,
            "cv_top1": fitted.fit.cv_top1,
        },
        threshold=abstention_threshold(fitted.fit.held_out),
    )


@dataclass(frozen=True)
class Ensembles:
    """All ensembles of a study: their logits on test images, and their predictors.

    Attributes:
        ensembles: one a fraction and seed. predictions: of the end-to-end trials in them.
        embed_audit: how the frozen features were made.
    """

    ensembles: Sequence[EnsembleTrial]
    predictions: EndToEndPredictions
    embed_audit: Mapping[str, Any]

    def logits(self, ensemble: EnsembleTrial, features: np.ndarray) -> np.ndarray:
        """(N, C) on test images.

        Args:
            features: (N, ΣD) of the test images, by the frozen encoders.
        Raises: KeyError: its end-to-end trial was not evaluated.
        """
        logits = self.predictions.logits(ensemble.end_to_end, ensemble.fingerprint)
        if logits is None:
            raise KeyError(ensemble.end_to_end.name)
        return ensemble.logits(logits, features)

    def predictors(self) -> dict[str, Callable[[], Predictor]]:
        """By the name of its folder, what makes each ensemble's predictor."""
        return {folder_name(one.fitted.key): partial(self._make, one) for one in self.ensembles}

    def shipped(
        self, chosen: Mapping[float, FittedTrial], data: StudyData
    ) -> dict[float, Callable[[], Predictor]]:
        """What to ship instead of the choice over frozen features, by fraction, where better.

        Args:
            chosen: the trial over frozen features at each fraction, with held-out predictions.
        """
        return {
            one.fitted.key.label_fraction: partial(self._make, one)
            for one in self.ensembles
            if self._wins(one, chosen.get(one.fitted.key.label_fraction), data)
        }

    def _wins(self, ensemble: EnsembleTrial, chosen: FittedTrial | None, data: StudyData) -> bool:
        if chosen is None or chosen.key.seed != ensemble.fitted.key.seed:
            return False
        return is_better(ensemble, chosen, data.target[data.labelled_rows(chosen.key)])

    def _make(self, ensemble: EnsembleTrial) -> Predictor:
        end_to_end = self.predictions.predictor(ensemble.end_to_end, ensemble.fingerprint)
        return ensemble_predictor(ensemble, end_to_end, self.embed_audit)


def _log_probs(fit: Fit) -> np.ndarray:
    """Held-out log-probabilities (n, C); NaN where a row was not held out."""
    if fit.held_out is None:
        raise ValueError("a trial without held-out predictions cannot be in an ensemble")
    return np.log(np.maximum(fit.held_out.astype(np.float64), _MIN_PROBABILITY))


def _head(
    trained: Head, frozen: Head, factors: tuple[float, float], widths: tuple[int, int]
) -> Head:
    """Both heads on columns side by side, the fine-tuned encoder's first."""
    edges = (0, widths[0], sum(widths))
    sides = [
        Head((columns(start, stop), *head.operations)).scaled(factor)
        for head, factor, start, stop in zip(
            (trained, frozen), factors, edges[:-1], edges[1:], strict=True
        )
    ]
    return blend(*sides)
