"""Multinomial logistic regression on features of image towers or on embeddings.

Source: the linear probe of Radford et al. 2021, section 3.2 (L-BFGS, strength swept on held-out
rows). Features are scaled to unit norm, after their square root in one of the two variants (the
Hellinger kernel's map for pooled activations, Arandjelović and Zisserman 2012).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.training.methods.cross_validation import choose_by_folds
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors

NEVER = -1e4
_MAX_ITERATIONS = 300
_TOLERANCE = 1e-3


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """Logistic regression; k-fold chooses the features' scaling and the strength."""
    scalings = ("unit", "standard") if anchors.space == "clip" else ("unit", "root", "standard")

    def fit_all(rows: Labelled) -> dict[str, Head]:
        return {
            f"{scaling} {c}": head
            for scaling in scalings
            for c, head in _path(rows, _scaling(scaling, anchors, rows), config.logreg_c).items()
        }

    def describe(name: str) -> dict[str, object]:
        scaling, c = name.split()
        return {"scaling": scaling, "c": float(c)}

    def refit(name: str) -> Head:
        scaling, c = name.split()
        return _path(labelled, _scaling(scaling, anchors, labelled), (float(c),))[float(c)]

    return choose_by_folds(labelled, fit_all, describe, refit)


def _scaling(name: str, anchors: TextAnchors, rows: Labelled) -> tuple[Operation, ...]:
    if name != "standard":
        return anchors.scaled(root=name == "root")
    raw = anchors.raw()
    features = Head(raw)(rows.features)
    width = np.float32(np.sqrt(features.shape[1]))
    scale = (features.std(axis=0) + features.std() * 0.1) * width
    return (*raw, Operation("standardise", {"mean": features.mean(axis=0), "scale": scale}))


def _path(
    rows: Labelled, scaling: Sequence[Operation], strengths: Sequence[float]
) -> Mapping[float, Head]:
    """One head for each strength, from weak to strong fits, each started from the one before."""
    scaled = Head(tuple(scaling))(rows.features)
    model = LogisticRegression(max_iter=_MAX_ITERATIONS, tol=_TOLERANCE, warm_start=True)
    heads = {}
    for c in sorted(strengths):
        model.set_params(C=c)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(scaled, rows.target)
        heads[c] = Head((*scaling, _affine(model, rows.classes)))
    return heads


def _affine(model: LogisticRegression, classes: int) -> Operation:
    """The model as one affine map; classes it never saw get a logit that never wins."""
    seen = model.classes_
    weight = np.zeros((classes, model.coef_.shape[1]), dtype=np.float32)
    bias = np.full(classes, NEVER, dtype=np.float32)
    if len(seen) == 2:  # scikit-learn keeps one row for two classes
        weight[seen[1]], bias[seen] = model.coef_[0], (0.0, model.intercept_[0])
    else:
        weight[seen], bias[seen] = model.coef_, model.intercept_
    return Operation("affine", {"weight": weight, "bias": bias})
