"""ProLIP: fine-tune the projection of the image tower into the space shared with text, no more.

Loss: cross-entropy of s · cos(W x + b, t) plus λ ‖W − W₀‖², with λ = 1/N for N labels a class; the
text stays. Nothing is chosen: with many labels the projection is free, with few it stays put.

Source: Fahes et al. 2024, "CLIP's Visual Embedding Projector is a Few-shot Cornucopia", section 4
and the paragraph on λ = 1/N. Here L-BFGS stands in for 300 steps of Adam.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.predictor.head import Head, Operation, softmax
from sports_clip_pipeline.training.methods.cross_validation import hold_out, keep_best, log_loss
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.row_space import RowSpace, affine

_MAX_ITERATIONS = 100
_TOLERANCE = 1e-3
# Curvature of the cross-entropy along one direction of the projected rows, for the scaling of the
# search; it sets the speed alone.
_CURVATURE = 0.03
# Held-out rows that a temperature needs; no further fold is fitted once there are as many.
_ENOUGH = 1500


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """The projection, fine-tuned; the temperature is all that held-out folds set."""
    if anchors.image_body:
        raise UserFacingError(
            "method prolip",
            "fine-tunes a linear image projection, and the CLIP model has another",
            "leave it out of finetune.methods, or set pretrain.projections=linear",
        )
    space = RowSpace.of(labelled, anchors.raw())
    space = space.turned(np.linalg.eigh(space.rows.features.T @ space.rows.features)[1])

    def fit_all(rows: Labelled) -> dict[str, Head]:
        moved = Problem.of(rows, space, anchors).solve()
        text = anchors.anchors * anchors.logit_scale
        cosines = (Operation("l2_normalise"), affine(text, np.zeros(len(text))))
        return {"prolip": Head((affine(moved, anchors.image_bias), *cosines))}

    def refit(name: str) -> Head:
        """On pooled features; what the rows do not span stays as pretrained."""
        moved = fit_all(space.rows)[name]
        step = moved.operations[0].arrays["weight"] - _inside(space, anchors)
        whole = anchors.image_weight + (step if space.basis is None else step @ space.basis.T)
        first = affine(whole, anchors.image_bias)
        return Head((*space.operations, first, *moved.operations[1:]))

    held_out = hold_out(space.rows, fit_all, _ENOUGH)
    return keep_best(labelled, held_out, lambda name: {}, refit)


def _inside(space: RowSpace, anchors: TextAnchors) -> np.ndarray:
    """(P, r) the pretrained projection of what the rows span."""
    weight = anchors.image_weight
    return weight if space.basis is None else weight @ space.basis


@dataclass(frozen=True)
class Problem:
    """Mean cross-entropy + λ ‖W − W₀‖².

    Attributes:
        pooled: (n, r) float32. target: (n,) int.
        text: (C, P) unit-norm. scale: of the cosines.
        origin: (P, r), W₀. bias: (P,), fixed.
    """

    pooled: np.ndarray
    target: np.ndarray
    text: np.ndarray
    scale: float
    origin: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, rows: Labelled, space: RowSpace, anchors: TextAnchors) -> Problem:
        """The rows' problem, in the columns of their space."""
        return cls(
            rows.features, rows.target, anchors.anchors, anchors.logit_scale,
            _inside(space, anchors), anchors.image_bias,
        )  # fmt: skip

    def solve(self) -> np.ndarray:
        """W (P, r) at the minimum, searched from W₀ in columns of even curvature."""
        scale, shape = self._scale(), self.origin.shape

        def scaled(flat: np.ndarray) -> tuple[float, np.ndarray]:
            loss, gradient = self.objective(self.origin + flat.reshape(shape) * scale)
            return loss, (gradient.reshape(shape) * scale).ravel()

        options = {"maxiter": _MAX_ITERATIONS, "ftol": _TOLERANCE}
        start = np.zeros(self.origin.size)
        found = minimize(scaled, start, jac=True, method="L-BFGS-B", options=options)
        return self.origin + found.x.reshape(shape) * scale

    def _scale(self) -> np.ndarray:
        """(r,); one over the root of each column's expected curvature."""
        projected = self.pooled @ self.origin.T + self.bias
        size = float((projected.astype(np.float64) ** 2).sum())  # n times the mean square norm
        energy = (self.pooled.astype(np.float64) ** 2).sum(axis=0)
        curvature = _CURVATURE * self.scale**2 * energy / max(size, 1e-12)
        scale: np.ndarray = 1.0 / np.sqrt(curvature + 2.0 * self._firmness)
        return scale

    def objective(self, weight: np.ndarray) -> tuple[float, np.ndarray]:
        """Its value and its gradient, flat."""
        kind = self.pooled.dtype
        projected = self.pooled @ weight.T.astype(kind) + self.bias  # (n, P)
        norms = np.linalg.norm(projected, axis=1, keepdims=True)
        unit = projected / norms
        logits = unit @ self.text.T * kind.type(self.scale)  # (n, C)
        apart = weight - self.origin
        loss = log_loss(logits, self.target) + self._firmness * float((apart**2).sum())
        error = softmax(logits).astype(kind)
        error[np.arange(len(self.target)), self.target] -= 1.0
        slope = error @ (self.text * kind.type(self.scale / len(self.target)))  # (n, P), by `unit`
        slope -= (slope * unit).sum(axis=1, keepdims=True) * unit
        gradient = (slope / norms).T @ self.pooled + 2.0 * self._firmness * apart
        return loss, gradient.astype(np.float64).ravel()

    @property
    def _firmness(self) -> float:
        """λ = 1/N, N labels a class."""
        return len(self.text) / len(self.target)
