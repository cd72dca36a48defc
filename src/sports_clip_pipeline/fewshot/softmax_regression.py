"""Multinomial logistic regression in principal axes, by L-BFGS.

scikit-learn's solver spends most of its steps on the few directions in which pooled features vary
much. In principal axes the curvature of the loss is nearly diagonal and known beforehand, so the
same problem, rescaled, is solved to the same precision in a third of the steps; the axes are found
once and serve every fold and every strength.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh
from scipy.optimize import minimize

from sports_clip_pipeline.fewshot.gram import lower_gram

# Share of a row's weight p (1 − p) that a fitted classifier leaves, for the curvature; it sets the
# speed alone, not the result.
_CURVATURE = 0.005
_MAX_ITERATIONS = 300
NEVER = -1e4


def principal_axes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The axes of rows (n, r) around their mean.

    Returns: (r, r) float32, its columns the axes, and (r,), the sum of squares along each.
    """
    gram = lower_gram(rows, rows.mean(axis=0))
    energy, axes = eigh(gram, lower=True, overwrite_a=True, check_finite=False, driver="evd")
    return axes, np.maximum(energy, 0.0)


@dataclass(frozen=True)
class Solution:
    """Logits are x Wᵀ + b + m ⊙ t, with the rows' text logits t.

    Attributes:
        weight: (C, r) float32. bias: (C,) float32.
        multiplier: (C,) float32; zeros where there was no text.
    """

    weight: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray


@dataclass(frozen=True)
class Problem:
    """c · Σ cross-entropy + ½ ‖W‖² + ½ pull · ‖m − centre‖², convex in (W, b, m).

    Attributes:
        rows: (n, r) float32, in principal axes and around a mean near theirs.
        target: (n,) int in [0, classes).
        classes: C. Those without a row get no weight, and a bias that never wins.
        energy: (r,) of the axes.
        text: (n, C) float32 zero-shot logits, or None.
        centre: where the multipliers m of the text logits are pulled to. pull: how strongly.
    """

    rows: np.ndarray
    target: np.ndarray
    classes: int
    energy: np.ndarray
    text: np.ndarray | None = None
    centre: float = 1.0
    pull: float = 1.0

    def solve(self, c: float, tolerance: float, start: Solution | None = None) -> Solution:
        """The minimum, to a relative decrease of the objective below `tolerance`."""
        scale = self._scale(c)
        initial = self._flatten(start) / scale
        found = minimize(
            lambda flat: self._scaled(flat, scale, c),
            initial.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_ITERATIONS, "ftol": tolerance, "gtol": 1e-8},
        )
        solution = self._unflatten(found.x.reshape(initial.shape) * scale)
        unseen = np.bincount(self.target, minlength=self.classes) == 0
        solution.weight[unseen], solution.bias[unseen] = 0.0, NEVER
        return solution

    def objective(self, solution: Solution, c: float) -> tuple[float, Solution]:
        """Its value, and its gradient in the shape of a solution."""
        weight = solution.weight
        logits = _product(self.rows, weight.T) + solution.bias  # (n, C)
        if self.text is not None:
            logits += solution.multiplier * self.text
        logits -= logits.max(axis=1, keepdims=True)
        own = logits[self._index, self.target]
        error = np.exp(logits, out=logits)
        total = error.sum(axis=1)
        apart = solution.multiplier - self.centre
        loss = c * float((np.log(total) - own).sum(dtype=np.float64))
        loss += 0.5 * float((weight.astype(np.float64) ** 2).sum())
        error *= (c / total)[:, None].astype(np.float32)
        error[self._index, self.target] -= np.float32(c)
        slope = np.zeros_like(apart)
        if self.text is not None:
            loss += 0.5 * self.pull * float((apart**2).sum())
            slope = (error * self.text).sum(axis=0) + self.pull * apart
        return loss, Solution(_product(error.T, self.rows) + weight, error.sum(axis=0), slope)

    def _scaled(self, flat: np.ndarray, scale: np.ndarray, c: float) -> tuple[float, np.ndarray]:
        point = self._unflatten(flat.reshape(self.classes, -1) * scale)
        loss, gradient = self.objective(point, c)
        return loss, (self._flatten(gradient) * scale).ravel()

    def _scale(self, c: float) -> np.ndarray:
        """(r + 2,); one over the root of each column's expected curvature."""
        text = 0.0 if self.text is None else float((self.text**2).sum()) / self.classes
        curvature = np.append(self.energy, [len(self.rows), text])
        floor = np.append(np.ones(len(self.energy)), [0.0, self.pull])
        scale: np.ndarray = 1.0 / np.sqrt(_CURVATURE * c * curvature + floor)
        return scale

    @property
    def _index(self) -> np.ndarray:
        return np.arange(len(self.target))

    def _flatten(self, solution: Solution | None) -> np.ndarray:
        """(C, r + 2) float64: weight, bias, multiplier side by side."""
        if solution is None:
            blank = np.zeros((self.classes, self.rows.shape[1] + 2))
            blank[:, -1] = self.centre
            return blank
        columns = (solution.weight, solution.bias[:, None], solution.multiplier[:, None])
        return np.hstack(columns).astype(np.float64)

    def _unflatten(self, flat: np.ndarray) -> Solution:
        values = flat.astype(np.float32)
        return Solution(values[:, :-2].copy(), values[:, -2].copy(), values[:, -1].copy())


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The product left @ right by torch, which is half as fast again where one side is narrow."""
    product: np.ndarray = (torch.from_numpy(left) @ torch.from_numpy(right)).numpy()
    return product
