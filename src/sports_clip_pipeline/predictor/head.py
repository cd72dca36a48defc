"""Classifier heads as chains of named operations over features, in NumPy and as torch modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.special import ndtr
from torch import nn
from torch.nn import functional

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "affine": ("weight", "bias"),
    "standardise": ("mean", "scale"),
    "power": ("exponent",),
    "l2_normalise": (),
    "blocks_l2_normalise": ("widths",),
    "columns": ("start", "stop"),
    "relu": (),
    "gelu": (),
    "layer_norm": (),
    "scale": ("factor",),
    "softmax": ("temperature",),
    "affinity": ("sharpness",),
    "sum": (),
}
EPSILON = 1e-12
LAYER_NORM_EPSILON = 1e-5
# One kind, or {"sum": [the kinds of each branch]}.
Kind = str | dict[str, list[list[Any]]]


@dataclass(frozen=True)
class Operation:
    """One step of a head.

    Attributes:
        kind: `affine` (x Wᵀ + b; weight (Out, In), bias (Out,)), `standardise`
            ((x − mean) / scale), `power` (sign(x) |x|^exponent), `l2_normalise`,
            `blocks_l2_normalise` (blocks of `widths` columns each to norm 1/√blocks, so the row has
            norm 1), `columns` (start to stop), `relu`, `gelu` (x Φ(x)), `layer_norm` (each row
            around its mean, over its deviation), `scale` (x · factor), `softmax` (of
            x / temperature), `affinity` (exp(−sharpness (1 − x))), `sum` (of its branches).
        arrays: its parameters by name, float32.
        branches: heads on the same values; of `sum` alone.
    """

    kind: str
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    branches: tuple[Head, ...] = ()

    def __post_init__(self) -> None:
        wanted = OPERATIONS.get(self.kind)
        if wanted is None or set(wanted) != set(self.arrays):
            raise ValueError(
                f"operation {self.kind!r} with {sorted(self.arrays)}; known: {OPERATIONS}"
            )
        if bool(self.branches) != (self.kind == "sum"):
            raise ValueError(f"{self.kind!r} with {len(self.branches)} branches; only sum has some")

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(N, In) to (N, Out), float32."""
        result: np.ndarray = _APPLY[self.kind](self, values)
        return result

    def describe(self) -> Kind:
        """Its kind, with those of its branches."""
        if self.kind != "sum":
            return self.kind
        return {"sum": [branch.describe() for branch in self.branches]}


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

    def scaled(self, factor: float) -> Head:
        """Its logits times a factor."""
        scale = Operation("scale", {"factor": np.asarray(factor, dtype=np.float32)})
        return Head((*self.operations, scale))

    def describe(self) -> list[Kind]:
        """The kinds of its operations, for the file on disk."""
        return [operation.describe() for operation in self.operations]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All parameters, named `<position>.<name>`, in branches `<position>.<branch>.…`."""
        arrays = {}
        for position, operation in enumerate(self.operations):
            for name, value in operation.arrays.items():
                arrays[f"{position}.{name}"] = np.asarray(value, dtype=np.float32)
            for number, branch in enumerate(operation.branches):
                for name, value in branch.to_arrays().items():
                    arrays[f"{position}.{number}.{name}"] = value
        return arrays

    @classmethod
    def from_arrays(
        cls, kinds: Sequence[Kind], arrays: Mapping[str, np.ndarray], prefix: str = ""
    ) -> Head:
        """Invert `describe` and `to_arrays`. Raises: ValueError: an operation is unknown."""
        operations = []
        for position, kind in enumerate(kinds):
            at = f"{prefix}{position}."
            if isinstance(kind, str):
                named = {name: arrays[at + name] for name in OPERATIONS.get(kind, ())}
                operations.append(Operation(kind, named))
            else:
                branches = [
                    cls.from_arrays(branch, arrays, f"{at}{number}.")
                    for number, branch in enumerate(kind["sum"])
                ]
                operations.append(add(*branches))
        return cls(tuple(operations))


def add(*heads: Head) -> Operation:
    """The operation that applies all heads to the same values and adds their logits."""
    return Operation("sum", branches=heads)


def blend(*heads: Head) -> Head:
    """One head whose logits are the sum of those of all; a product of experts."""
    return Head((add(*heads),))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, float64 inside, rows that sum to 1."""
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), EPSILON)


def _unit_blocks(operation: Operation, values: np.ndarray) -> np.ndarray:
    widths = operation.arrays["widths"].astype(int)
    result, start = np.empty_like(values), 0
    for width in widths:
        block = slice(start, start + width)
        result[:, block] = _unit(values[:, block])
        start += width
    result /= np.float32(np.sqrt(len(widths)))
    return result


def _power(operation: Operation, values: np.ndarray) -> np.ndarray:
    result = np.abs(values)
    np.power(result, operation.arrays["exponent"], out=result)
    return np.asarray(np.copysign(result, values, out=result))


def _columns(operation: Operation, values: np.ndarray) -> np.ndarray:
    return values[:, int(operation.arrays["start"]) : int(operation.arrays["stop"])]


def _layer_norm(values: np.ndarray) -> np.ndarray:
    apart = values - values.mean(axis=1, keepdims=True)
    spread = np.sqrt((apart**2).mean(axis=1, keepdims=True) + LAYER_NORM_EPSILON)
    return np.asarray(apart / spread)


def _sum(operation: Operation, values: np.ndarray) -> np.ndarray:
    total = operation.branches[0](values)
    for branch in operation.branches[1:]:
        total = total + branch(values)
    return total


_APPLY: Mapping[str, Any] = {
    "affine": lambda o, x: x @ o.arrays["weight"].T + o.arrays["bias"],
    "standardise": lambda o, x: (x - o.arrays["mean"]) / o.arrays["scale"],
    "power": _power,
    "l2_normalise": lambda o, x: _unit(x),
    "blocks_l2_normalise": _unit_blocks,
    "columns": _columns,
    "relu": lambda o, x: np.maximum(x, 0.0),
    "gelu": lambda o, x: x * ndtr(x),
    "layer_norm": lambda o, x: _layer_norm(x),
    "scale": lambda o, x: x * o.arrays["factor"],
    "softmax": lambda o, x: softmax(x / o.arrays["temperature"]).astype(np.float32),
    "affinity": lambda o, x: np.exp(-o.arrays["sharpness"] * (1.0 - x)),
    "sum": _sum,
}


class HeadModule(nn.Module):
    """A head's operations on tensors; agrees with its NumPy form to float32 precision."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.kinds = [operation.kind for operation in head.operations]
        for position, operation in enumerate(head.operations):
            for name, value in operation.arrays.items():
                self.register_buffer(f"{position}_{name}", torch.as_tensor(value).float().clone())
        # Shapes follow from these, so an export wants them as numbers rather than as tensors.
        self.whole = {
            f"{position}_{name}": [int(number) for number in np.atleast_1d(value)]
            for position, operation in enumerate(head.operations)
            for name, value in operation.arrays.items()
            if name in ("widths", "start", "stop")
        }
        self.branches = nn.ModuleDict(
            {
                str(position): nn.ModuleList([HeadModule(branch) for branch in operation.branches])
                for position, operation in enumerate(head.operations)
                if operation.branches
            }
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, D) to (N, C)."""
        values = features
        for position, kind in enumerate(self.kinds):
            values = getattr(self, f"_{kind}")(position, values)
        return values

    def _array(self, position: int, name: str) -> torch.Tensor:
        return self.get_buffer(f"{position}_{name}")

    def _affine(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return functional.linear(
            values, self._array(position, "weight"), self._array(position, "bias")
        )

    def _standardise(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return (values - self._array(position, "mean")) / self._array(position, "scale")

    def _power(self, position: int, values: torch.Tensor) -> torch.Tensor:
        # The derivative of |x|^p at 0 is infinite for p < 1; the small floor keeps it finite.
        magnitude = values.abs().clamp_min(1e-6)
        return values.sign() * magnitude ** self._array(position, "exponent")

    def _l2_normalise(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return functional.normalize(values, dim=1)

    def _blocks_l2_normalise(self, position: int, values: torch.Tensor) -> torch.Tensor:
        widths = self.whole[f"{position}_widths"]
        blocks = [functional.normalize(block, dim=1) for block in values.split(widths, dim=1)]
        return torch.cat(blocks, dim=1) / len(widths) ** 0.5

    def _columns(self, position: int, values: torch.Tensor) -> torch.Tensor:
        (start,), (stop,) = (self.whole[f"{position}_{name}"] for name in ("start", "stop"))
        return values[:, start:stop]

    def _relu(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return functional.relu(values)

    def _gelu(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return functional.gelu(values)

    def _layer_norm(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(values, values.shape[1:], eps=LAYER_NORM_EPSILON)

    def _scale(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return values * self._array(position, "factor")

    def _softmax(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return functional.softmax(values / self._array(position, "temperature"), dim=1)

    def _affinity(self, position: int, values: torch.Tensor) -> torch.Tensor:
        return torch.exp(-self._array(position, "sharpness") * (1.0 - values))

    def _sum(self, position: int, values: torch.Tensor) -> torch.Tensor:
        branches: Any = self.branches[str(position)]
        return torch.stack([branch(values) for branch in branches]).sum(dim=0)
