"""From fitted arms to learning curves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.evaluation.classification import macro_f1
from sports_clip_pipeline.evaluation.intervals import bootstrap_interval
from sports_clip_pipeline.models.head import softmax
from sports_clip_pipeline.training.arm import FittedArm


@dataclass(frozen=True)
class ScoredArm:
    """An arm judged on the evaluation photographs.

    Attributes:
        row: one row of the table of arms.
        correct: (N,) bool; whether it was right on each photograph.
        probabilities: (N, C) float16, calibrated.
        fitted: the arm, without its arrays.
    """

    row: dict[str, Any]
    correct: np.ndarray
    probabilities: np.ndarray
    fitted: FittedArm


def score_arm(
    fitted: FittedArm, features: np.ndarray, target: np.ndarray, classes: int, resamples: int
) -> ScoredArm:
    """Judge an arm on the evaluation photographs.

    Args:
        features: (N, D) of the evaluation photographs. target: (N,) int in [0, classes).
    """
    logits = fitted.fit.head(features)
    predicted = logits.argmax(axis=1)
    correct = predicted == target
    low, high = bootstrap_interval(correct[None, :], seed=fitted.arm.seed, resamples=resamples)
    row = {
        "method": fitted.arm.method,
        "fraction": fitted.arm.fraction,
        "seed": fitted.arm.seed,
        "labels": fitted.labels,
        "top1": float(correct.mean()),
        "top1_low": low,
        "top1_high": high,
        "macro_f1": macro_f1(predicted, target, classes),
        "cv_top1": fitted.fit.cv_top1,
        "cv_log_loss": fitted.fit.cv_log_loss,
        "temperature": fitted.fit.temperature,
        "hyperparameters": json.dumps(fitted.fit.hyperparameters, sort_keys=True),
        "elapsed_s": fitted.elapsed_s,
        "reused": fitted.reused,
    }
    probabilities = softmax(logits / fitted.fit.temperature).astype(np.float16)
    return ScoredArm(row, correct, probabilities, fitted.without_arrays())


def arms_table(scored: Iterable[ScoredArm]) -> pd.DataFrame:
    """One row an arm, by method, fraction and seed."""
    table = pd.DataFrame([arm.row for arm in scored])
    return table.sort_values(["method", "fraction", "seed"], ignore_index=True)


def learning_curves(scored: Sequence[ScoredArm], resamples: int, seed: int = 0) -> pd.DataFrame:
    """One row a method × fraction: mean over seeds, with an interval over photographs and seeds.

    Returns: `method`, `fraction`, `labels`, `seeds` (list), `top1_mean`, `top1_low`, `top1_high`,
        `macro_f1_mean`.
    """
    groups: dict[tuple[str, float], list[ScoredArm]] = {}
    for arm in sorted(scored, key=lambda arm: arm.row["seed"]):
        groups.setdefault((arm.row["method"], arm.row["fraction"]), []).append(arm)
    rows = []
    for (method, fraction), arms in sorted(groups.items()):
        correct = np.stack([arm.correct for arm in arms])  # (S, N)
        low, high = bootstrap_interval(correct, seed, resamples)
        rows.append(
            {
                "method": method,
                "fraction": fraction,
                "labels": round(float(np.mean([arm.row["labels"] for arm in arms]))),
                "seeds": [arm.row["seed"] for arm in arms],
                "top1_mean": float(correct.mean()),
                "top1_low": low,
                "top1_high": high,
                "macro_f1_mean": float(np.mean([arm.row["macro_f1"] for arm in arms])),
            }
        )
    return pd.DataFrame(rows)


def trial_probabilities(scored: Iterable[ScoredArm]) -> dict[str, np.ndarray]:
    """Calibrated probabilities (N, C) float16 on the evaluation photographs, by the arm's name."""
    return {arm.fitted.arm.name: arm.probabilities for arm in scored}


def choose_each(scored: Sequence[ScoredArm]) -> dict[float, FittedArm]:
    """At each fraction the method that is best on its own held-out folds, its first seed's arm.

    Neither evaluation nor test photographs have a say. Means over the seeds are compared; ties go
    to the lower log-loss.
    """
    groups: dict[tuple[float, str], list[ScoredArm]] = {}
    for arm in scored:
        groups.setdefault((arm.row["fraction"], arm.row["method"]), []).append(arm)
    best: dict[float, tuple[tuple[float, float], list[ScoredArm]]] = {}
    for (fraction, _), arms in sorted(groups.items()):
        top1 = float(np.mean([arm.row["cv_top1"] for arm in arms]))
        merit = (top1, -float(np.mean([arm.row["cv_log_loss"] for arm in arms])))
        if fraction not in best or merit > best[fraction][0]:
            best[fraction] = (merit, arms)
    return {
        fraction: min(arms, key=lambda arm: arm.row["seed"]).fitted
        for fraction, (_, arms) in best.items()
    }
