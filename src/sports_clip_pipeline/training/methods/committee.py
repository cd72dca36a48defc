"""A committee: logistic regression, ridge, GDA and the zero-shot classifier, weighted together.

They err differently: logistic regression follows the boundary between classes, ridge the whole of
each class against the rest, GDA the classes' common shape, zero-shot the words. Each probe is the
candidate that does best beside zero-shot (GDA, whose part is small, has its published shrinkage);
then all weights are fitted at once on the folds.

Source: Breiman 1996 (stacked regressions: non-negative weights from held-out answers); Genest and
Zidek 1986, section 3 (logarithmic opinion pools).
"""

from __future__ import annotations

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.predictor.head import blend
from sports_clip_pipeline.training.methods import gda, logreg_blend, ridge
from sports_clip_pipeline.training.methods.blending import best_beside, fit_weights
from sports_clip_pipeline.training.methods.cross_validation import judged
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.probes import Probes, Solve


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """All members and zero-shot; k-fold sets each member's strength and all weights."""
    probes = Probes.of(labelled, anchors)
    zero_shot = anchors.zero_shot_head()
    text = zero_shot(labelled.features)
    chosen, spoken, heads = {}, [], []
    for name, (solve, strengths) in _members(config).items():
        held_out = probes.hold_out(solve, strengths).logits
        strength, _ = best_beside(text, held_out, labelled.target)
        chosen[name] = float(strength)
        spoken.append(held_out[strength])
        heads.append(probes.expanded(solve, strength))
    spoken, heads = [*spoken, text], [*heads, zero_shot]
    tested = ~np.isnan(spoken[0][:, 0])
    weights = fit_weights([one[tested] for one in spoken], labelled.target[tested])
    head = blend(*(one.scaled(weight) for one, weight in zip(heads, weights, strict=True)))
    names = ("logreg_weight", "ridge_weight", "gda_weight", "zero_shot_weight")
    settings = chosen | dict(zip(names, map(float, weights), strict=True))
    return judged(labelled, np.tensordot(weights, spoken, axes=1), head, settings)


def _members(config: FinetuneConfig) -> dict[str, tuple[Solve, tuple[float, ...]]]:
    """By the name of what is chosen: how it is fitted, and what there is to choose from."""
    return {
        "logreg_c": (logreg_blend.solve, config.blend_c),
        "ridge_alpha": (ridge.solve, config.ridge_alpha),
        "gda_shrinkage": (gda.solve, (gda.PUBLISHED,)),
    }
