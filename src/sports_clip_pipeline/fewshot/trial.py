"""A trial of the study: key, fitted classifier, saved state, and its stand-alone predictor."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from sports_clip_pipeline.fewshot.base import Fit
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor

_SCORES = ("temperature", "hyperparameters", "cv_top1", "cv_log_loss")


@dataclass(frozen=True)
class TrialKey:
    """One method on one nested label subset."""

    method: str
    label_fraction: float
    seed: int

    @property
    def subset(self) -> tuple[float, int]:
        """The labelled subset; trials of one subset share its intermediate results."""
        return self.label_fraction, self.seed

    @property
    def name(self) -> str:
        """Method, label fraction and seed, for logs and names of arrays."""
        return f"{self.method}/{self.label_fraction:g}/{self.seed}"

    @property
    def path(self) -> str:
        """Where its state is saved."""
        return f"trials/{self.name}"


@dataclass(frozen=True)
class FittedTrial:
    """A trial with its classifier.

    Attributes:
        labels: number of labelled images it used.
        elapsed_s: of its fit, in the run that fitted it.
        reused: whether an earlier run fitted it.
        fingerprint: of its data, settings and code, under which its state is saved.
    """

    key: TrialKey
    fit: Fit
    labels: int
    elapsed_s: float
    reused: bool
    fingerprint: str = ""

    def without_arrays(self) -> Self:
        """The same without head and held-out probabilities: hundreds of them fill the memory."""
        return replace(self, fit=replace(self.fit, head=Head(()), held_out=np.empty((0, 0))))


def save_trial(
    fitted: FittedTrial, state: RunState, more: Mapping[str, np.ndarray] | None = None
) -> None:
    """Save a trial, and further arrays with it."""
    fit, own = fitted.fit, {"labels": fitted.labels, "elapsed_s": fitted.elapsed_s}
    scores = {name: getattr(fit, name) for name in _SCORES}
    meta = json.loads(json.dumps({"operations": fit.head.describe(), **scores, **own}))
    arrays = {f"head.{name}": value for name, value in fit.head.to_arrays().items()}
    arrays |= {"held_out": fit.held_out, **(more or {})}
    state.save_state(fitted.key.path, fitted.fingerprint, arrays, meta)


def load_trial(key: TrialKey, fingerprint: str, state: RunState) -> FittedTrial | None:
    """The trial as an earlier run saved it under this fingerprint, or None."""
    saved = state.load_state(key.path, fingerprint)
    if saved is None:
        return None
    arrays, meta = saved
    head = Head.from_arrays(meta["operations"], arrays, "head.")
    fit = Fit(head, **{name: meta[name] for name in _SCORES}, held_out=arrays["held_out"])
    return FittedTrial(key, fit, meta["labels"], meta["elapsed_s"], True, fingerprint)


def trial_predictor(
    fitted: FittedTrial,
    classes: Sequence[str],
    encoders: Sequence[EncoderInput],
    encoder_weights: Mapping[str, np.ndarray],
    coverage: float,
) -> Predictor:
    """The trial with the encoders that it reads.

    Args: encoder_weights: of the first encoder where it was trained; empty for packaged ones.
    """
    key, fit = fitted.key, fitted.fit
    head, begin = fit.head, fit.head.operations[0]
    if begin.kind == "columns" and [*begin.arrays.values()] == [0, encoders[0].width]:
        encoders, head = encoders[:1], Head(head.operations[1:])  # it reads the first one alone
    return Predictor(
        classes=tuple(classes),
        encoders=tuple(encoders),
        head=head,
        temperature=fit.temperature,
        encoder_weights=dict(encoder_weights),
        origin={
            "method": key.method,
            "fraction": key.label_fraction,
            "seed": key.seed,
            "labels": fitted.labels,
            "hyperparameters": fit.hyperparameters,
            "cv_top1": fit.cv_top1,
        },
        threshold=abstention_threshold(fit.held_out, coverage),
    )


def abstention_threshold(held_out: np.ndarray, coverage: float) -> float | None:
    """The highest confidence threshold under which at most 1 − coverage of held-out rows fall.

    The predictor abstains where its greatest probability is below it.

    Args: held_out: (n, C) calibrated probabilities by heads that did not see the row, or NaN.
    Returns: a probability, or None where no row was held out: it never abstains then. Of the
        confidences .9, .8, .7, .6 with coverage .75 it is .7, and .6 is abstained from.
    Source: Chow 1970; El-Yaniv and Wiener 2010, section 2 (coverage of a selective classifier).
    """
    confidence = held_out.max(axis=1)  # (n,)
    confidence = np.sort(confidence[~np.isnan(confidence)].astype(np.float64))
    if len(confidence) == 0:
        return None
    # The small number keeps 20 rows and .95 from becoming 0.999…, which abstains from none.
    rejected = int(np.floor((1.0 - coverage) * len(confidence) + 1e-9))
    return float(confidence[min(rejected, len(confidence) - 1)])
