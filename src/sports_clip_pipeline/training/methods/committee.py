"""A committee: logistic regression, ridge, GDA and the zero-shot classifier, weighted together.

They err differently: logistic regression follows the boundary between classes, ridge the whole of
each class against the rest, GDA the classes' common shape, zero-shot the words. Each probe is the
candidate that does best beside zero-shot; then all weights are fitted at once on the folds.

Source: Breiman 1996 (stacked regressions: non-negative weights from held-out answers); Genest and
Zidek 1986, section 3 (logarithmic opinion pools).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.models.head import Head, blend
from sports_clip_pipeline.training.methods import gda, logreg_blend, ridge
from sports_clip_pipeline.training.methods.blending import best_beside, fit_weights
from sports_clip_pipeline.training.methods.cross_validation import hold_out, judged
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.row_space import RowSpace
from sports_clip_pipeline.training.methods.softmax_regression import principal_axes


@dataclass(frozen=True)
class Member:
    """One probe: its candidates by name, of which one will speak.

    Attributes:
        fit: rows and names of candidates to their heads.
        names: of all candidates.
    """

    fit: Callable[[Labelled, tuple[float, ...]], Mapping[str, Head]]
    strengths: tuple[float, ...]


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """All members and zero-shot; k-fold sets each member's strength and all weights."""
    space = RowSpace.of(labelled, anchors.scaled(root=True))
    axes, energy = principal_axes(space.rows.features)
    space = space.turned(axes)
    zero_shot = anchors.zero_shot_head()
    text = zero_shot(labelled.features)
    chosen, spoken, heads = {}, [], []
    for name, member in _members(config, energy).items():
        held_out = hold_out(space.rows, lambda rows, m=member: m.fit(rows, m.strengths))
        strength = best_beside(text, held_out, labelled.target)[0]
        chosen[name] = float(strength)
        spoken.append(held_out[strength])
        heads.append(space.expand(member.fit(space.rows, (float(strength),))[strength]))
    spoken, heads = [*spoken, text], [*heads, zero_shot]
    tested = ~np.isnan(spoken[0][:, 0])
    weights = fit_weights([one[tested] for one in spoken], labelled.target[tested])
    head = blend(*(one.scaled(weight) for one, weight in zip(heads, weights, strict=True)))
    names = [f"{name}_weight" for name in (*chosen, "zero_shot")]
    settings = {**chosen, **dict(zip(names, map(float, weights), strict=True))}
    return judged(labelled, np.tensordot(weights, spoken, axes=1), head, settings)


def _members(config: FinetuneConfig, energy: np.ndarray) -> dict[str, Member]:
    return {
        "c": Member(lambda rows, c: logreg_blend.solve(rows, energy, c), config.blend_c),
        "alpha": Member(ridge.solve, config.ridge_alpha),
        "shrinkage": Member(gda.solve, config.gda_shrinkage),
    }
