"""Classifier heads as chains of named operations over features.

One description serves prediction in NumPy, explanations through torch, and the file on disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "affine": ("weight", "bias"),
    "standardise": ("mean", "scale"),
    "power": ("exponent",),
    "l2_normalise": (),
    "relu": (),
}
_EPSILON = 1e-12


@dataclass(frozen=True)
class Operation:
    """One step of a head.

    Attributes:
        kind: `affine` (x Wᵀ + b; weight (Out, In), bias (Out,)), `standardise`
            ((x − mean) / scale), `power` (sign(x) |x|^exponent), `l2_normalise`, `relu`.
        arrays: its parameters by name, float32.
    """

    kind: str
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted = OPERATIONS.get(self.kind)
        if wanted is None or set(wanted) != set(self.arrays):
            raise ValueError(
                f"operation {self.kind!r} with {sorted(self.arrays)}; known: {OPERATIONS}"
            )

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(N, In) to (N, Out), float32."""
        arrays = self.arrays
        if self.kind == "affine":
            return values @ arrays["weight"].T + arrays["bias"]
        if self.kind == "standardise":
            return (values - arrays["mean"]) / arrays["scale"]
        if self.kind == "power":
            return np.sign(values) * np.abs(values) ** arrays["exponent"]
        if self.kind == "relu":
            return np.maximum(values, 0.0)
        return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _EPSILON)


@dataclass(frozen=True)
class Head:
    """A classifier over features: operations applied in order, logits at the end."""

    operations: tuple[Operation, ...]

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(N, D) features to (N, C) logits."""
        values = np.asarray(features, dtype=np.float32)
        for operation in self.operations:
            values = operation(values)
        return values

    def then(self, *operations: Operation) -> Head:
        """Append operations."""
        return Head((*self.operations, *operations))

    def after(self, operations: Sequence[Operation]) -> Head:
        """Put operations before the first."""
        return Head((*operations, *self.operations))

    def describe(self) -> list[str]:
        """The kinds of its operations, for the file on disk."""
        return [operation.kind for operation in self.operations]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All parameters, named `<position>.<name>`."""
        return {
            f"{position}.{name}": np.asarray(value, dtype=np.float32)
            for position, operation in enumerate(self.operations)
            for name, value in operation.arrays.items()
        }

    @classmethod
    def from_arrays(cls, kinds: Sequence[str], arrays: Mapping[str, np.ndarray]) -> Head:
        """Invert `describe` and `to_arrays`. Raises: ValueError: an operation is unknown."""
        return cls(
            tuple(
                Operation(
                    kind, {name: arrays[f"{position}.{name}"] for name in OPERATIONS.get(kind, ())}
                )
                for position, kind in enumerate(kinds)
            )
        )

    def module(self) -> Any:
        """The same as a `torch.nn.Module`, (N, D) to (N, C)."""
        from sports_clip_pipeline.models.head_module import HeadModule

        return HeadModule(self)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, float64 inside, rows that sum to 1."""
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
