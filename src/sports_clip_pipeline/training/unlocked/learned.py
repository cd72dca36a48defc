"""What training through towers has learned so far, as named arrays, and its random moments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from sports_clip_pipeline.training.unlocked.blocks import changed_state

_WEIGHT, _MOMENT = "model.", "adam."


def learned_arrays(
    model: nn.Module, optimizer: torch.optim.Optimizer, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Weights that training changes, and the optimiser's moments of them.

    Args:
        names: of the unlocked weights.
    Returns: `model.<name>`, and `adam.<number>.<moment>` by the optimiser's own numbers.
    """
    changed = changed_state(model, names)
    arrays = {f"{_WEIGHT}{name}": value.numpy() for name, value in changed.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        arrays |= {
            f"{_MOMENT}{index}.{name}": value.detach().cpu().contiguous().clone().numpy()
            for name, value in moments.items()
        }
    return arrays


def take_learned_arrays(
    model: nn.Module, optimizer: torch.optim.Optimizer, arrays: Mapping[str, np.ndarray]
) -> None:
    """The inverse of `learned_arrays`, in place."""
    weights = {
        key.removeprefix(_WEIGHT): torch.from_numpy(value)
        for key, value in arrays.items()
        if key.startswith(_WEIGHT)
    }
    model.load_state_dict(model.state_dict() | weights)
    learning = [weight for group in optimizer.param_groups for weight in group["params"]]
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in arrays.items():
        if key.startswith(_MOMENT):
            _, index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = _laid_out(value, learning[int(index)])
    saved = optimizer.state_dict()
    optimizer.load_state_dict({"state": moments, "param_groups": saved["param_groups"]})


@contextmanager
def seeded(device: str, seed: int) -> Iterator[None]:
    """Torch's generators seeded for a block, and as they were after it."""
    devices = [torch.cuda.current_device()] if device == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def _laid_out(value: np.ndarray, parameter: torch.Tensor) -> torch.Tensor:
    """A moment in the memory order of its parameter: another order may round differently."""
    tensor = torch.from_numpy(value.copy())
    if tensor.shape != parameter.shape:
        return tensor  # the count of steps
    return torch.empty_like(parameter, device="cpu", requires_grad=False).copy_(tensor)
