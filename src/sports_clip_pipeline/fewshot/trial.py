"""A trial of the study: its key, its fitted classifier, and the form that is saved."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sports_clip_pipeline.fewshot.base import Fit
from sports_clip_pipeline.predictor.head import Head


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

    def without_arrays(self) -> FittedTrial:
        """The same without head and held-out probabilities: hundreds of them fill the memory."""
        return replace(self, fit=replace(self.fit, head=Head(()), held_out=None))


def trial_to_state(fitted: FittedTrial) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and JSON-like record of a fitted trial."""
    fit = fitted.fit
    meta = {
        "operations": fit.head.describe(),
        "temperature": fit.temperature,
        "hyperparameters": fit.hyperparameters,
        "cv_top1": fit.cv_top1,
        "cv_log_loss": fit.cv_log_loss,
        "labels": fitted.labels,
        "elapsed_s": fitted.elapsed_s,
    }
    arrays = {f"head.{name}": value for name, value in fit.head.to_arrays().items()}
    if fit.held_out is not None:
        arrays["held_out"] = fit.held_out
    return arrays, json.loads(json.dumps(meta))


def trial_from_state(
    key: TrialKey, arrays: dict[str, np.ndarray], meta: dict[str, Any], fingerprint: str = ""
) -> FittedTrial:
    """The inverse of `trial_to_state`, with `reused` set."""
    fit = Fit(
        head=Head.from_arrays(meta["operations"], arrays, "head."),
        temperature=meta["temperature"],
        hyperparameters=meta["hyperparameters"],
        cv_top1=meta["cv_top1"],
        cv_log_loss=meta["cv_log_loss"],
        held_out=arrays.get("held_out"),
    )
    return FittedTrial(key, fit, meta["labels"], meta["elapsed_s"], True, fingerprint)
