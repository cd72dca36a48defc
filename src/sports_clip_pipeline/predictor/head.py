"""Classifier heads: chains of named operations over features, evaluated by torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
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
LAYER_NORM_EPSILON = 1e-5
_ROWS = 16_384  # of features that are evaluated at once
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
        return Head((self,))(values)

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
        """(N, D) features to (N, C) float32 logits."""
        blocks = []
        with torch.inference_mode():
            for start in range(0, max(len(features), 1), _ROWS):
                rows = torch.tensor(features[start : start + _ROWS], dtype=torch.float32)
                blocks.append(self.module(rows).numpy())
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    @cached_property
    def module(self) -> HeadModule:
        """The same as a torch module."""
        return HeadModule(self)

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


def affine(weight: np.ndarray, bias: np.ndarray | None = None) -> Operation:
    """The map x Wᵀ + b as an operation, float32; without a bias, b = 0."""
    offset = np.zeros(len(weight)) if bias is None else bias
    arrays = {"weight": weight.astype(np.float32), "bias": np.asarray(offset, dtype=np.float32)}
    return Operation("affine", arrays)


def columns(start: int, stop: int) -> Operation:
    """The columns from `start` up to `stop` as an operation."""
    bounds = {"start": start, "stop": stop}
    return Operation("columns", {k: np.asarray(v, dtype=np.float32) for k, v in bounds.items()})


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


class HeadModule(nn.Module):
    """A head as a torch module, (N, D) to (N, C); its arrays are buffers."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.operations = head.operations
        for position, operation in enumerate(head.operations):
            for name, value in operation.arrays.items():
                buffer = torch.tensor(value, dtype=torch.float32)
                self.register_buffer(f"{position}_{name}", buffer)
            for number, branch in enumerate(operation.branches):
                self.add_module(f"{position}_{number}", HeadModule(branch))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, D) to (N, C)."""
        values = features
        for position, operation in enumerate(self.operations):
            if operation.kind == "sum":
                branches = [self.get_submodule(f"{position}_{n}") for n in _range(operation)]
                values = torch.stack([branch(values) for branch in branches]).sum(dim=0)
            elif operation.kind in _SELECT:
                values = _SELECT[operation.kind](operation, values)
            else:
                arrays = [self.get_buffer(f"{position}_{n}") for n in OPERATIONS[operation.kind]]
                values = _APPLY[operation.kind](values, *arrays)
        return values


def _range(operation: Operation) -> range:
    return range(len(operation.branches))


def _power(values: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    # The derivative of |x|^p at 0 is infinite for p < 1; the small floor keeps it finite.
    return values.sign() * values.abs().clamp_min(1e-6) ** exponent


def _columns(operation: Operation, values: torch.Tensor) -> torch.Tensor:
    return values[:, int(operation.arrays["start"]) : int(operation.arrays["stop"])]


def _unit_blocks(operation: Operation, values: torch.Tensor) -> torch.Tensor:
    widths = [int(width) for width in operation.arrays["widths"]]
    blocks = [functional.normalize(block, dim=1) for block in values.split(widths, dim=1)]
    return torch.cat(blocks, dim=1) / len(widths) ** 0.5


_APPLY: Mapping[str, Callable[..., torch.Tensor]] = {
    "affine": functional.linear,
    "standardise": lambda x, mean, scale: (x - mean) / scale,
    "power": _power,
    "l2_normalise": lambda x: functional.normalize(x, dim=1),
    "relu": functional.relu,
    "gelu": functional.gelu,
    "layer_norm": lambda x: functional.layer_norm(x, x.shape[1:], eps=LAYER_NORM_EPSILON),
    "scale": lambda x, factor: x * factor,
    "softmax": lambda x, temperature: functional.softmax(x / temperature, dim=1),
    "affinity": lambda x, sharpness: torch.exp(-sharpness * (1.0 - x)),
}
# Their shapes follow from the arrays, so an export wants them as numbers rather than as tensors.
_SELECT: Mapping[str, Callable[[Operation, torch.Tensor], torch.Tensor]] = {
    "columns": _columns,
    "blocks_l2_normalise": _unit_blocks,
}
