"""Classifiers that learned from photographs without labels, joined to their teacher.

How much each of them counts, and whether it counts at all, is fitted on labels that neither it nor
its teacher saw; with many labels little is left of it, and the teacher stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sports_clip_pipeline.predictor.head import Head, blend
from sports_clip_pipeline.training.methods.blending import fit_weights
from sports_clip_pipeline.training.methods.cross_validation import judged
from sports_clip_pipeline.training.methods.interface import Fit
from sports_clip_pipeline.training.methods.pool import Pool
from sports_clip_pipeline.training.methods.teacher import Teacher

TEACHER = "teacher"


@dataclass(frozen=True)
class Voice:
    """Logits x Wᵀ + b + pull · t of a pool's rows x and their teacher's log-probabilities t.

    Attributes:
        weight: (C, d) float32. bias: (C,). pull: >= 0.
    """

    weight: np.ndarray
    bias: np.ndarray
    pull: float = 0.0

    def __call__(self, rows: np.ndarray, spoken: np.ndarray) -> np.ndarray:
        """(N, d) and (N, C) to (N, C)."""
        logits: np.ndarray = rows @ self.weight.T + self.bias + self.pull * spoken
        return logits


def join(
    pool: Pool,
    teacher: Teacher,
    learn: Callable[[int | None], Mapping[str, Voice]],
) -> Fit:
    """The teacher and what `learn` makes of it, each weighed by the held-out labels.

    Args:
        learn: voices by name, fitted without what a fold holds out; on everything, for None.
    """
    labelled = pool.labelled
    blank = np.full((len(labelled.target), labelled.classes), np.nan)
    held_out: dict[str, np.ndarray] = {}
    for fold in pool.folds():
        out = pool.held_out(fold)
        spoken = teacher.spoken[fold][out]
        said = {name: voice(pool.rows[out], spoken) for name, voice in learn(fold).items()}
        for name, logits in {TEACHER: spoken, **said}.items():
            held_out.setdefault(name, blank.copy())[out] = logits
    weights = _weigh(held_out, labelled.target)
    mixed = np.sum([weights[name] * held_out[name] for name in held_out], axis=0)
    named = {f"{name}_weight": weight for name, weight in weights.items()}
    head = _blend(pool, teacher, learn(None), weights)
    return judged(labelled, mixed, head, {**teacher.fit.hyperparameters, **named})


def _weigh(held_out: Mapping[str, np.ndarray], target: np.ndarray) -> dict[str, float]:
    tested = ~np.isnan(held_out[TEACHER][:, 0])
    weights = fit_weights([logits[tested] for logits in held_out.values()], target[tested])
    return dict(zip(held_out, (float(weight) for weight in weights), strict=True))


def _blend(
    pool: Pool, teacher: Teacher, voices: Mapping[str, Voice], weights: Mapping[str, float]
) -> Head:
    """All voices are linear in the same rows, so they make one affine map beside the teacher."""
    factors = [weights[name] for name in voices]
    weight = np.tensordot(factors, [voice.weight for voice in voices.values()], axes=1)
    bias = np.tensordot(factors, [voice.bias for voice in voices.values()], axes=1)
    pull = np.dot(factors, [voice.pull for voice in voices.values()])
    return blend(teacher.fit.head.scaled(weights[TEACHER] + pull), pool.space.head(weight, bias))
