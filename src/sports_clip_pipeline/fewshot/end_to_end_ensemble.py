"""Predictors of end-to-end trials, and their ensembles with the stacked ensemble.

A fine-tuned encoder's logits are added to those of the stacked ensemble over frozen features. Which
of the encoders is taken, and both weights, are fitted on held-out labelled images.

Source: Lakshminarayanan et al. 2017 (Deep ensembles), section 2; Genest and Zidek 1986, section 3
(logarithmic opinion pools); Wortsman et al. 2022, section 4 (ensembles in output space).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from sports_clip_pipeline.encoders.image_encoders import image_encoder
from sports_clip_pipeline.fewshot.base import Fit, Labelled
from sports_clip_pipeline.fewshot.cross_validation import fit_from_held_out
from sports_clip_pipeline.fewshot.end_to_end_study import EndToEndStudy, read_encoder
from sports_clip_pipeline.fewshot.ensemble import choose_with_zero_shot, cross_fit
from sports_clip_pipeline.fewshot.study import StudyData, finished_trials
from sports_clip_pipeline.fewshot.trial import FittedTrial, TrialKey, trial_predictor
from sports_clip_pipeline.io.fingerprint import fingerprint
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.finetune.config import END_TO_END_ENSEMBLE, FinetuneConfig
from sports_clip_pipeline.predictor.head import Head, blend, columns
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor
from sports_clip_pipeline.training.classification import pooled_image_features
from sports_clip_pipeline.training.images import DecodedImages

_LOG = logging.getLogger(__name__)
# The method over frozen features that a fine-tuned encoder is added to.
FROZEN = "stacked_ensemble"
_MIN_PROBABILITY = 1e-7


@dataclass(frozen=True)
class EnsembleTrial:
    """Two trials on the same labels as one.

    Attributes:
        fitted: its head reads the fine-tuned encoder's columns, then those of the frozen encoders.
        end_to_end: the end-to-end trial in it. frozen: the head on frozen features.
        factors: of the logits of the two.
    """

    fitted: FittedTrial
    end_to_end: FittedTrial
    frozen: Head
    factors: tuple[float, float]


@dataclass(frozen=True)
class EndToEndPredictions:
    """Logits of end-to-end trials and ensembles on test images, and their predictors.

    The logits of a trial are computed once, then read from the saved state.

    Attributes:
        images: the N test images, decoded when a trial is evaluated.
        encoder: the trials' own, by the name of the packaged one. frozen: the frozen encoders.
        coverage: share of held-out images that predictors answer (abstention).
        trials: those evaluated.
    """

    images: DecodedImages
    classes: tuple[str, ...]
    encoder: EncoderInput
    frozen: tuple[EncoderInput, ...]
    state: RunState
    coverage: float
    trials: list[FittedTrial] = field(default_factory=list)

    def evaluate(self, trial: FittedTrial) -> np.ndarray:
        """Logits (N, C) of a trial."""
        logits = self.logits(trial)
        if logits is None:
            model = self.predictor(trial).module()
            seen, views = self.encoder.preprocessing, self.encoder.views
            features = pooled_image_features(model.encoder, self.images.open(), seen, views)
            logits = trial.fit.head(features).astype(np.float32)
            self.state.save_state(*self._address(trial), {"logits": logits})
        return logits

    def logits(self, trial: FittedTrial) -> np.ndarray | None:
        """Saved logits (N, C) of a trial, or None."""
        saved = self.state.load_state(*self._address(trial))
        return None if saved is None else saved[0]["logits"]

    def evaluate_ensemble(self, ensemble: EnsembleTrial, features: np.ndarray) -> np.ndarray:
        """Logits (N, C) of an ensemble; the frozen features of the test images are (N, ΣD)."""
        logits = self.evaluate(ensemble.end_to_end)
        mixed = ensemble.factors[0] * logits + ensemble.factors[1] * ensemble.frozen(features)
        return mixed.astype(np.float32)

    def predictor(self, trial: FittedTrial, ensemble: FittedTrial | None = None) -> Predictor:
        """A trial, or the ensemble that it is in, as a predictor; its encoder is read again.

        Raises: KeyError: the encoder is not saved.
        """
        encoders = [self.encoder, *(self.frozen if ensemble else ())]
        weights = read_encoder(trial, self.state)
        return trial_predictor(ensemble or trial, self.classes, encoders, weights, self.coverage)

    def predictors(self, ensembles: Sequence[EnsembleTrial]) -> dict[str, partial[Predictor]]:
        """By the name of its folder, what makes the predictor of each trial and ensemble."""
        makers = {_folder_name(one.key): partial(self.predictor, one) for one in self.trials}
        for one in ensembles:
            name = _folder_name(one.fitted.key)
            makers[name] = partial(self.predictor, one.end_to_end, one.fitted)
        return makers

    def shipped(
        self,
        ensembles: Sequence[EnsembleTrial],
        chosen: Mapping[float, FittedTrial],
        data: StudyData,
    ) -> dict[float, partial[Predictor]]:
        """What to ship instead of the trials over frozen features, by fraction, where better."""
        makers = {}
        for one in ensembles:
            key = one.fitted.key
            other = chosen.get(key.label_fraction)
            if other is not None and other.key.seed == key.seed:
                target = data.target[data.labelled_rows(other.key)]
                if is_better(one, other, target):
                    makers[key.label_fraction] = partial(self.predictor, one.end_to_end, one.fitted)
        return makers

    def _address(self, trial: FittedTrial) -> tuple[str, str]:
        content = fingerprint(trial.fingerprint, list(self.images.addresses), self.encoder)
        return f"evaluated/{trial.key.path}", content


def _folder_name(key: TrialKey) -> str:
    return f"{key.method}-{key.label_fraction:g}-{key.seed}"


def build_ensembles(
    trials: Sequence[FittedTrial],
    study: EndToEndStudy,
    data: StudyData,
    config: FinetuneConfig,
    state: RunState,
) -> list[EnsembleTrial]:
    """An ensemble for each fraction and seed, with the stacked ensemble of the same labels.

    There is none where no stacked ensemble was fitted, or where contrastive pretraining changed the
    image encoder that its features come from.
    """
    if study.start.clip_weights:
        _LOG.info("%s: none, as the frozen encoder is not a packaged one", END_TO_END_ENSEMBLE)
        return []
    widths = (image_encoder(study.start.encoder).width, data.features.shape[1])
    groups: dict[TrialKey, list[FittedTrial]] = {}
    for trial in trials:
        groups.setdefault(replace(trial.key, method=FROZEN), []).append(trial)
    fitted = {one.key: one for one in finished_trials(list(groups), data, config, state)}
    for key in sorted(groups.keys() - fitted.keys(), key=lambda key: key.name):
        _LOG.info("%s: none with %s, which was not fitted", END_TO_END_ENSEMBLE, key.name)
    return [
        build_ensemble(groups[key], one, data.labelled(key, config.folds), widths)
        for key, one in fitted.items()
    ]


def build_ensemble(
    trials: Sequence[FittedTrial],
    frozen: FittedTrial,
    labelled: Labelled,
    widths: tuple[int, int],
) -> EnsembleTrial:
    """The fine-tuned encoder that adds most to the frozen classifier, and the two as one trial.

    Args:
        trials, frozen: on the same labels. labelled: the images that have them.
        widths: columns of the fine-tuned encoder, and of the frozen encoders together.
    """
    beside = _log_probs(frozen.fit)
    tested = ~np.isnan(beside[:, :1])
    held_out = {t.key.method: np.where(tested, _log_probs(t.fit), np.nan) for t in trials}
    target = labelled.target
    best, weights = choose_with_zero_shot(beside, held_out, target)
    chosen = next(trial for trial in trials if trial.key.method == best)
    factors = weights[0] / chosen.fit.temperature, weights[1] / frozen.fit.temperature
    first = Head((columns(0, widths[0]), *chosen.fit.head.operations))
    second = Head((columns(widths[0], sum(widths)), *frozen.fit.head.operations))
    fit = fit_from_held_out(
        target,
        cross_fit((held_out[best], beside), target, labelled.fold)[0],
        blend(first.scaled(factors[0]), second.scaled(factors[1])),
        {"end_to_end_method": best, "end_to_end_weight": weights[0], "frozen_weight": weights[1]},
    )
    fitted = FittedTrial(
        key=replace(chosen.key, method=END_TO_END_ENSEMBLE),
        fit=fit,
        labels=len(target),
        elapsed_s=chosen.elapsed_s + frozen.elapsed_s,
        reused=chosen.reused and frozen.reused,
    )
    return EnsembleTrial(fitted, chosen, frozen.fit.head, factors)


def is_better(ensemble: EnsembleTrial, chosen: FittedTrial, target: np.ndarray) -> bool:
    """Whether held-out log loss improves over a trial by more than one standard error.

    An ensemble in which the fine-tuned encoder has no weight is never better.

    Args: chosen: over frozen features on the same labels. target: (n,) int classes of them.
    """
    if ensemble.factors[0] == 0.0:
        return False
    gain = _log_probs(ensemble.fitted.fit) - _log_probs(chosen.fit)
    gain = gain[np.arange(len(target)), target]  # (n,) nats
    gain = gain[~np.isnan(gain)]
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))


def _log_probs(fit: Fit) -> np.ndarray:
    """Held-out log-probabilities (n, C); NaN where a row was not held out."""
    return np.log(np.maximum(fit.held_out.astype(np.float64), _MIN_PROBABILITY))
