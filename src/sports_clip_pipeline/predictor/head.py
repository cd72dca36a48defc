"""Classifier heads: chains of named operations over features, evaluated by torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def _power(values: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    # The derivative of |x|^p at 0 is infinite for p < 1; the small floor keeps it finite.
    return values.sign() * values.abs().clamp_min(1e-6) ** exponent


def _normalise_blocks(values: torch.Tensor, widths: list[int]) -> torch.Tensor:
    blocks = [functional.normalize(block, dim=1) for block in values.split(widths, dim=1)]
    return torch.cat(blocks, dim=1) / len(widths) ** 0.5


# Parameters and function of each kind of operation. Affine weights are (Out, In); blocks of
# `widths` columns get the norm 1/√blocks each; layer norms have no scale and shift.
OPERATIONS: Mapping[str, tuple[tuple[str, ...], Callable[..., torch.Tensor]]] = {
    "affine": (("weight", "bias"), functional.linear),
    "standardise": (("mean", "scale"), lambda x, mean, scale: (x - mean) / scale),
    "power": (("exponent",), _power),
    "l2_normalise": ((), lambda x: functional.normalize(x, dim=1)),
    "blocks_l2_normalise": (("widths",), _normalise_blocks),
    "columns": (("start", "stop"), lambda x, start, stop: x[:, start:stop].contiguous()),
    "relu": ((), functional.relu),
    "gelu": ((), functional.gelu),
    "layer_norm": ((), lambda x: functional.layer_norm(x, x.shape[1:], eps=1e-5)),
    "scale": (("factor",), lambda x, factor: x * factor),
    "softmax": (("temperature",), lambda x, temperature: functional.softmax(x / temperature, 1)),
    "affinity": (("sharpness",), lambda x, sharpness: torch.exp(-sharpness * (1.0 - x))),
    "sum": ((), lambda *logits: torch.stack(logits).sum(dim=0)),
}
# Output shapes depend on their parameters: ONNX export needs those as numbers, not as tensors.
_INTEGER = ("columns", "blocks_l2_normalise")
_ROWS = 1024  # of features evaluated at once: each operation makes a copy of them
# One kind, or {"sum": [the kinds of each branch]}.
Kind = str | dict[str, list[list[Any]]]


@dataclass(frozen=True)
class Operation:
    """One step of a head: its kind, its float32 parameters by name, the branches of a `sum`."""

    kind: str
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    branches: "tuple[Head, ...]" = ()

    def __post_init__(self) -> None:
        if set(_names(self.kind)) != set(self.arrays):
            what = f"operation {self.kind!r} with {sorted(self.arrays)}"
            raise ValueError(f"{what}, wanted {sorted(_names(self.kind))}")
        if bool(self.branches) != (self.kind == "sum"):
            raise ValueError(f"{self.kind!r} with {len(self.branches)} branches; only sum has some")


@dataclass(frozen=True)
class Head:
    """A classifier over features: operations applied in order, logits at the end."""

    operations: tuple[Operation, ...]

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(N, D) features to (N, C) float32 logits."""
        logits = np.empty((len(features), 0), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, max(len(features), 1), _ROWS):
                rows = torch.tensor(features[start : start + _ROWS], dtype=torch.float32)
                block = self.module(rows).numpy()
                if start == 0:
                    logits = np.empty((len(features), block.shape[1]), dtype=np.float32)
                logits[start : start + len(block)] = block
        return logits

    @cached_property
    def module(self) -> "HeadModule":
        """The head as a torch module."""
        return HeadModule(self)

    def scaled(self, factor: float) -> Self:
        """The head with its logits multiplied by a factor."""
        scale = Operation("scale", {"factor": np.asarray(factor, dtype=np.float32)})
        return type(self)((*self.operations, scale))

    def describe(self) -> list[Kind]:
        """The kinds of its operations, JSON-like."""
        return [
            {operation.kind: [branch.describe() for branch in operation.branches]}
            if operation.branches
            else operation.kind
            for operation in self.operations
        ]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All parameters, named `<position>.<name>`, in branches `<position>.<branch>.…`."""
        return {name: value.numpy() for name, value in HeadModule(self).state_dict().items()}

    @classmethod
    def from_arrays(
        cls, kinds: Sequence[Kind], arrays: Mapping[str, np.ndarray], prefix: str = ""
    ) -> Self:
        """Invert `describe` and `to_arrays`. Raises: ValueError: an operation is unknown."""
        operations = []
        for position, kind in enumerate(kinds):
            path = f"{prefix}{position}."
            if isinstance(kind, str):
                named = {name: arrays[path + name] for name in _names(kind)}
                operations.append(Operation(kind, named))
                continue
            numbered = enumerate(kind["sum"])
            heads = [cls.from_arrays(part, arrays, f"{path}{n}.") for n, part in numbered]
            operations.append(add(*heads))
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
    """The operation that applies all heads to the same input and adds their logits."""
    return Operation("sum", branches=heads)


def blend(*heads: Head) -> Head:
    """One head with the sum of the logits of all (a product of experts)."""
    return Head((add(*heads),))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis in float64."""
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


class HeadModule(nn.Sequential):
    """A head as a torch module, (N, D) to (N, C); its arrays are buffers."""

    def __init__(self, head: Head) -> None:
        super().__init__(*map(_OperationModule, head.operations))


class _OperationModule(nn.Module):
    """One operation; its children are the branches of a sum."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation
        for name, value in operation.arrays.items():
            # Shared with the operation: the keys of a cache model are as large as the features.
            shared = np.require(value, np.float32, ["C_CONTIGUOUS", "WRITEABLE"])
            self.register_buffer(name, torch.from_numpy(shared))
        for number, branch in enumerate(operation.branches):
            self.add_module(str(number), HeadModule(branch))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        kind, arrays = self.operation.kind, self.operation.arrays
        names, function = OPERATIONS[kind]
        if kind == "sum":
            return function(*(branch(values) for branch in self.children()))
        if kind in _INTEGER:
            return function(values, *(arrays[name].astype(int).tolist() for name in names))
        return function(values, *(self.get_buffer(name) for name in names))


def _names(kind: str) -> tuple[str, ...]:
    """Parameters of a kind of operation. Raises: ValueError: it is unknown."""
    if kind not in OPERATIONS:
        raise ValueError(f"operation {kind!r} is not one of the known {', '.join(OPERATIONS)}")
    return OPERATIONS[kind][0]
