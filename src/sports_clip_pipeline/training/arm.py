"""One classifier of a study: which it is, what was fitted, and the form that the journal keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.training.methods.interface import Fit


@dataclass(frozen=True)
class Arm:
    """One classifier of the study: a method on one subset of the labels."""

    method: str
    fraction: float
    seed: int

    @property
    def subset(self) -> tuple[float, int]:
        """Which labels it sees: arms of one subset see the same."""
        return self.fraction, self.seed

    @property
    def key(self) -> str:
        """Where its state is kept."""
        return f"arms/{self.name}"

    @property
    def name(self) -> str:
        """Method, fraction and seed."""
        return f"{self.method}/{self.fraction:g}/{self.seed}"


@dataclass(frozen=True)
class FittedArm:
    """An arm with its classifier.

    Attributes:
        labels: photographs whose labels it used.
        elapsed_s: of its fit, in the run that fitted it.
        reused: whether an earlier run fitted it.
        mark: the fingerprint that it is kept under.
    """

    arm: Arm
    fit: Fit
    labels: int
    elapsed_s: float
    reused: bool
    mark: str = ""

    def without_arrays(self) -> FittedArm:
        """The same without the head and the held-out answers, of which hundreds fill the memory."""
        return replace(self, fit=replace(self.fit, head=Head(()), held_out=None))


def arm_to_state(fitted: FittedArm) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and JSON-like record for the journal."""
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


def arm_from_state(
    arm: Arm, arrays: dict[str, np.ndarray], meta: dict[str, Any], mark: str = ""
) -> FittedArm:
    """The inverse of `arm_to_state`, marked as reused."""
    fit = Fit(
        head=Head.from_arrays(meta["operations"], arrays, "head."),
        temperature=meta["temperature"],
        hyperparameters=meta["hyperparameters"],
        cv_top1=meta["cv_top1"],
        cv_log_loss=meta["cv_log_loss"],
        held_out=arrays.get("held_out"),
    )
    return FittedArm(arm, fit, meta["labels"], meta["elapsed_s"], True, mark)
