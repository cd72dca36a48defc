"""Multinomial logistic regression by L-BFGS, with a Gaussian prior and row weights.

The one solver of all softmax-linear methods. Columns are rescaled by their expected curvature: in
principal axes, where the curvature is nearly diagonal, it takes a third of scikit-learn's steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize

# Share of a row's weight p (1 − p) that a fitted classifier leaves, for the curvature; it sets the
# speed alone, not the result.
_CURVATURE = 0.005
# Bias of a class without a row: it is never predicted.
NEVER = -1e4


@dataclass(frozen=True)
class SoftmaxWeights:
    """Logits x Wᵀ + b + m ⊙ t, with the rows' zero-shot logits t.

    Attributes:
        weight: (C, r) float32. bias: (C,) float32.
        multiplier: (C,) float32 of the zero-shot logits; zeros where there were none.
    """

    weight: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray


@dataclass(frozen=True)
class SoftmaxProblem:
    """c · Σᵢ wᵢ · cross-entropy + ½ ‖W − W₀‖² + ½ s · ‖m − m₀‖², convex in (W, b, m).

    Attributes:
        rows: (n, r) float32. target: (n,) int in [0, classes). classes: C; those without a row get
            no weight, and a bias that is never the greatest.
        row_weight: (n,) float32 w >= 0; None for ones.
        prior: (C, r) W₀, the mean of the Gaussian prior; None for zeros.
        intercept: whether there is a bias b.
        text: (n, C) float32 zero-shot logits t, or None.
        multiplier_prior: m₀. prior_strength: s.
        energy: (r,) weighted sum of squares of each column; computed, if not given.
        max_iterations: of L-BFGS.
    """

    rows: np.ndarray
    target: np.ndarray
    classes: int
    row_weight: np.ndarray | None = None
    prior: np.ndarray | None = None
    intercept: bool = True
    text: np.ndarray | None = None
    multiplier_prior: float = 1.0
    prior_strength: float = 1.0
    energy: np.ndarray | None = None
    max_iterations: int = 300

    def solve(
        self, c: float, tolerance: float = 1e-3, start: SoftmaxWeights | None = None
    ) -> SoftmaxWeights:
        """The minimum, to a relative decrease of the objective below `tolerance`."""
        scale = self._scale(c)
        blank = self._flatten(self._origin() if start is None else start)
        safe = np.where(scale > 0.0, scale, 1.0)
        found = minimize(
            lambda flat: self._scaled(flat, scale, c),
            (blank / safe).ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": self.max_iterations, "ftol": tolerance, "gtol": 1e-8},
        )
        solution = self._unflatten(found.x.reshape(blank.shape) * scale)
        if self.prior is None:
            unseen = np.bincount(self.target, minlength=self.classes) == 0
            solution.weight[unseen], solution.bias[unseen] = 0.0, NEVER
        return solution

    def objective(self, point: SoftmaxWeights, c: float) -> tuple[float, SoftmaxWeights]:
        """Its value, and its gradient in the shape of the weights."""
        logits = _product(self.rows, point.weight.T) + point.bias  # (n, C)
        if self.text is not None:
            logits += point.multiplier * self.text
        logits -= logits.max(axis=1, keepdims=True)
        index = np.arange(len(self.target))
        own = logits[index, self.target]
        error = np.exp(logits, out=logits)
        total = error.sum(axis=1)
        loss = np.log(total) - own
        strength = np.full(len(total), c, dtype=np.float32)
        if self.row_weight is not None:
            loss, strength = self.row_weight * loss, strength * self.row_weight
        apart = point.weight if self.prior is None else point.weight - self.prior
        value = c * float(loss.sum(dtype=np.float64))
        value += 0.5 * float((apart.astype(np.float64) ** 2).sum())
        error *= (strength / total)[:, None]
        error[index, self.target] -= strength
        slope = np.zeros_like(point.multiplier)
        if self.text is not None:
            distance = point.multiplier - self.multiplier_prior
            value += 0.5 * self.prior_strength * float((distance**2).sum())
            slope = (error * self.text).sum(axis=0) + self.prior_strength * distance
        weight = _product(error.T, self.rows) + apart
        return value, SoftmaxWeights(weight, error.sum(axis=0), slope)

    def _origin(self) -> SoftmaxWeights:
        shape = (self.classes, self.rows.shape[1])
        return SoftmaxWeights(
            np.zeros(shape) if self.prior is None else self.prior,
            np.zeros(self.classes),
            np.full(self.classes, self.multiplier_prior),
        )

    def _scaled(self, flat: np.ndarray, scale: np.ndarray, c: float) -> tuple[float, np.ndarray]:
        point = self._unflatten(flat.reshape(self.classes, -1) * scale)
        value, gradient = self.objective(point, c)
        return value, (self._flatten(gradient) * scale).ravel()

    def _scale(self, c: float) -> np.ndarray:
        """(r + 2,); one over the root of each column's expected curvature; 0 for no intercept."""
        text = 0.0 if self.text is None else float((self.text**2).sum()) / self.classes
        count = len(self.rows) if self.row_weight is None else float(self.row_weight.sum())
        energy = self.energy
        if energy is None:
            squares = (
                self.rows,
                self.rows,
                *(() if self.row_weight is None else [self.row_weight]),
            )
            spec = "nd,nd->d" if self.row_weight is None else "nd,nd,n->d"
            energy = np.einsum(spec, *squares, optimize=self.row_weight is not None)
        curvature = np.append(energy, [count, text])
        floor = np.append(np.ones(len(energy)), [0.0, self.prior_strength])
        scale: np.ndarray = 1.0 / np.sqrt(_CURVATURE * c * curvature + floor)
        scale[-2] *= self.intercept
        return scale

    @staticmethod
    def _flatten(point: SoftmaxWeights) -> np.ndarray:
        """(C, r + 2) float64: weight, bias, multiplier side by side."""
        columns = (point.weight, point.bias[:, None], point.multiplier[:, None])
        return np.hstack(columns).astype(np.float64)

    @staticmethod
    def _unflatten(flat: np.ndarray) -> SoftmaxWeights:
        values = flat.astype(np.float32)
        return SoftmaxWeights(values[:, :-2].copy(), values[:, -2].copy(), values[:, -1].copy())


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The product left @ right by torch, which is half as fast again where one side is narrow."""
    product: np.ndarray = (torch.from_numpy(left) @ torch.from_numpy(right)).numpy()
    return product
