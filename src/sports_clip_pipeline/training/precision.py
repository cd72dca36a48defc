"""Device and mixed precision (autocast, GradScaler) of training."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from sports_clip_pipeline.errors import UserFacingError

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """A device and a precision.

    Attributes:
        device: `cpu` or `cuda`.
        precision: `fp32`, `bf16` or `fp16`; weights, moments and the loss are fp32 in all.
        compiled: whether torch.compile runs on the unlocked encoders.
    """

    device: str
    precision: str
    compiled: bool = False

    def autocast(self) -> AbstractContextManager[None]:
        """Autocast of the encoders to this precision."""
        dtype = _DTYPES.get(self.precision)
        return torch.autocast(self.device, dtype=dtype, enabled=dtype is not None)

    def scaler(self) -> torch.amp.GradScaler:
        """Scales the loss of fp16, whose gradients would vanish; does nothing else otherwise."""
        return torch.amp.GradScaler(self.device, enabled=self.precision == "fp16")


def choose_compute(device: str, precision: str, compiled: str = "auto") -> Compute:
    """What `auto` means on this machine.

    Args:
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `fp32`, `bf16` or `fp16`; `auto` is bf16 on a CUDA device that computes
            in it, fp16 on another, fp32 on the CPU, where mixed precision is slower.
        compiled: `auto`, `on` or `off`; `auto` compiles on CUDA.
    Raises: UserFacingError: CUDA is asked for and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise UserFacingError(
            "parameter pretrain.device",
            "wanted cuda, and PyTorch finds no CUDA device here",
            "use auto or cpu, or install CUDA wheels with `make install TORCH=cu130`",
        )
    place = "cuda" if has_cuda and device != "cpu" else "cpu"
    compiles = compiled == "on" or (compiled == "auto" and place == "cuda")
    if precision == "auto":
        precision = "fp32" if place == "cpu" else _half()
    return Compute(place, precision, compiles)


def _half() -> str:
    """The 16-bit floats that the CUDA device computes in."""
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
