"""Multinomial logistic regression by L-BFGS, with a Gaussian prior and row weights.

Columns are rescaled by their expected curvature: in principal axes, where it is nearly diagonal,
that takes a third of scikit-learn's steps.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize

from sports_clip_pipeline.predictor.head import softmax

# Share of a row's weight p (1 − p) that a fitted classifier leaves, for the curvature; it sets the
# speed alone, not the result.
_CURVATURE = 0.005
# Bias of a class without a row: it is never predicted.
NEVER = -1e4


class SoftmaxWeights(NamedTuple):
    """Logits x Wᵀ + b + m ⊙ t, with the rows' zero-shot logits t.

    Attributes: weight: (C, r). bias: (C,). multiplier: (C,); all float32.
    """

    weight: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray

    @classmethod
    def split(cls, point: np.ndarray) -> Self:
        """From (C, r + 2): weight, bias and multiplier side by side."""
        return cls(point[:, :-2].copy(), point[:, -2].copy(), point[:, -1].copy())


@dataclass(frozen=True)
class SoftmaxProblem:
    """c · Σᵢ wᵢ · cross-entropy + ½ ‖W − W₀‖² + ½ s · ‖m − m₀‖², convex in (W, b, m).

    Attributes:
        rows: (n, r) float32. target: (n,) int in [0, classes). classes: C; one without a row gets
            no weight and the bias `NEVER`.
        row_weight: (n,) float32 w >= 0; None for ones. intercept: whether there is a bias b.
        prior: (C, r) W₀, the mean of the Gaussian prior; None for zeros.
        text: (n, C) float32 zero-shot logits t, or None. multiplier_prior: m₀. prior_strength: s.
        energy: (r,) weighted sum of squares of each column; computed, if not given.
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
        self, c: float, tolerance: float = 1e-4, start: SoftmaxWeights | None = None
    ) -> SoftmaxWeights:
        """The minimum, to a duality gap of at most `tolerance` of the objective."""
        if start is None:
            zeros = np.zeros((self.classes, self.rows.shape[1]))
            weight, bias = zeros if self.prior is None else self.prior, np.zeros(self.classes)
            start = SoftmaxWeights(weight, bias, bias + self.multiplier_prior)
        curvature, prior = self._curvature(c)
        found = minimize_lbfgs(
            lambda point: self.objective(point, c),
            np.column_stack(start).astype(np.float64),
            1.0 / np.sqrt(curvature + prior),
            np.where(prior > 0.0, prior, curvature),
            tolerance,
            self.max_iterations,
        )
        solution = SoftmaxWeights.split(found.astype(np.float32))
        if self.prior is None:
            empty = np.bincount(self.target, minlength=self.classes) == 0
            solution.weight[empty], solution.bias[empty] = 0.0, NEVER
        return solution

    def path(
        self, strengths: Sequence[float], tolerance: float = 1e-4
    ) -> Iterator[tuple[float, SoftmaxWeights]]:
        """Each c with its minimum, ascending; two minima, extrapolated in log c, start the next."""
        found: list[SoftmaxWeights] = []
        for c in (values := sorted(set(strengths))):
            start = found[-1] if found else None
            if len(found) > 1:
                first, second = np.diff(np.log(values[len(found) - 2 : len(found) + 1]))
                pairs = zip(*found[-2:], strict=True)
                start = SoftmaxWeights(*(b + min(second / first, 1.0) * (b - a) for a, b in pairs))
            found.append(self.solve(c, tolerance, start))
            yield c, found[-1]

    def objective(self, point: np.ndarray, c: float) -> tuple[float, np.ndarray]:
        """Value and gradient (C, r + 2) at weight, bias and multiplier side by side."""
        weight, bias, multiplier = SoftmaxWeights.split(point.astype(self.rows.dtype))
        logits = _product(self.rows, weight.T) + bias  # (n, C)
        if self.text is not None:
            logits += multiplier * self.text
        logits -= logits.max(axis=1, keepdims=True)
        index = np.arange(len(self.target))
        own = logits[index, self.target]
        error = np.exp(logits, out=logits)
        total = error.sum(axis=1)
        loss = np.log(total) - own
        strength = np.full(len(total), c, dtype=np.float32)
        if self.row_weight is not None:
            loss, strength = self.row_weight * loss, strength * self.row_weight
        apart = weight if self.prior is None else weight - self.prior
        value = c * float(loss.sum(dtype=np.float64))
        value += 0.5 * float((apart.astype(np.float64) ** 2).sum())
        error *= (strength / total)[:, None]
        error[index, self.target] -= strength
        slope = np.zeros_like(multiplier)
        if self.text is not None:
            distance = multiplier - self.multiplier_prior
            value += 0.5 * self.prior_strength * float((distance**2).sum())
            slope = (error * self.text).sum(axis=0) + self.prior_strength * distance
        gradient = (_product(error.T, self.rows) + apart, error.sum(axis=0) * self.intercept, slope)
        return value, np.column_stack(gradient).astype(np.float64)

    def _curvature(self, c: float) -> tuple[np.ndarray, np.ndarray]:
        """(r + 2,) each; expected curvature of the loss along each column, and of the prior."""
        text = 0.0 if self.text is None else float((self.text**2).sum()) / self.classes
        energy, weight = self.energy, self.row_weight
        count = len(self.rows) if weight is None else float(weight.sum())
        if energy is None:
            energy = (
                np.einsum("nd,nd->d", self.rows, self.rows)
                if weight is None
                else np.einsum("nd,nd,n->d", self.rows, self.rows, weight, optimize=True)
            )
        prior = np.append(np.ones(len(energy)), [0.0, self.prior_strength])
        return _CURVATURE * c * np.append(energy, [count, text]), prior


def minimize_lbfgs(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]],
    start: np.ndarray,
    scale: np.ndarray,
    modulus: np.ndarray | float,
    tolerance: float = 1e-4,
    max_iterations: int = 300,
) -> np.ndarray:
    """The minimum (R, K) by L-BFGS, searched in columns divided by a scale.

    The search ends where ½ Σ gradient² / modulus, which is no less than the distance of a strongly
    convex objective to its minimum, is at most `tolerance` of the value; or at float32's rounding.

    Args:
        objective: value and gradient at a point. start: (R, K) float64. scale: (K,) > 0.
        modulus: > 0, of strong convexity, to broadcast. Source: Boyd and Vandenberghe, (9.9).
    """
    gap = np.inf

    def scaled(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal gap
        value, gradient = objective(flat.reshape(start.shape) * scale)
        gap = 0.5 * float((gradient**2 / modulus).sum())
        return value, (gradient * scale).ravel()

    def stop(intermediate_result: OptimizeResult) -> None:
        if gap <= tolerance * intermediate_result.fun:
            raise StopIteration

    options = {"maxiter": max_iterations, "maxcor": 30, "ftol": 1e-9, "gtol": 0.0}
    first = (start / scale).ravel()
    found = minimize(scaled, first, jac=True, method="L-BFGS-B", callback=stop, options=options)
    return found.x.reshape(start.shape) * scale


def softmax_error(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(n, C) float64; gradient of each row's cross-entropy by its logits."""
    error = softmax(logits)
    error[np.arange(len(target)), target] -= 1.0
    return error


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The product left @ right by torch, which is half as fast again where one side is narrow."""
    return (torch.from_numpy(left) @ torch.from_numpy(right)).numpy()
