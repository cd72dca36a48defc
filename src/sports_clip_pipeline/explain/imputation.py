"""Filling in removed pixels from their neighbours, so that a hole carries no outline of itself.

Noisy linear imputation: each removed pixel is the weighted mean of its eight neighbours (sides
1/6, corners 1/12; at the border, of those there are), which is one sparse linear system a
photograph; a little noise is added. pytorch-grad-cam assembles the matrix anew for every mask and
solves it directly. The matrix is symmetric, and multiplying by it is one 3 × 3 convolution, so that
nothing is assembled here: conjugate gradients for all masks and colours at once, started from the
same system at half the side, and so on down (cascadic multigrid).
"""

from __future__ import annotations

import torch
from torch.nn import functional

NOISE = 0.01
_COARSEST = 8
_WEIGHTS = ((1 / 12, 1 / 6, 1 / 12), (1 / 6, 0.0, 1 / 6), (1 / 12, 1 / 6, 1 / 12))


def fill_in(
    pixels: torch.Tensor,
    removed: torch.Tensor,
    noise: torch.Tensor | None = None,
    tolerance: float = 2e-3,
    most_steps: int = 500,
) -> torch.Tensor:
    """One image with each of M masks of pixels removed and filled in.

    Args:
        pixels: (3, H, W) float32, preprocessed.
        removed: (M, H, W) bool; at least one pixel of each mask stays.
        noise: (3, H, W) added where pixels were removed; in units of preprocessed pixels.
        tolerance: of the residual's norm, relative to that of the right-hand side. The default is
            off by about the noise.
        most_steps: of conjugate gradients, at each size.
    Returns: (M, 3, H, W) float32.
    Raises: ValueError: a mask removes every pixel.
    Source: Rong et al. 2022, A Consistent and Efficient Evaluation Strategy for Attribution
        Methods, section 4.1 and appendix C.
    """
    if bool(removed.flatten(1).all(dim=1).any()):
        raise ValueError("a mask that removes every pixel leaves nothing to fill it in from")
    hidden = removed[:, None]  # (M, 1, H, W)
    values = torch.where(hidden, 0.0, pixels[None])  # (M, 3, H, W)
    filled = _solve(values, hidden, tolerance, most_steps)
    return filled if noise is None else torch.where(hidden, filled + noise, filled)


def _solve(
    values: torch.Tensor, hidden: torch.Tensor, tolerance: float, most_steps: int
) -> torch.Tensor:
    """Known values where not hidden, the system's solution where hidden."""
    if min(values.shape[-2:]) >= 2 * _COARSEST and bool(hidden.any()):
        start = _from_half(values, hidden, tolerance, most_steps)
    else:
        known = (~hidden).float()
        start = (values * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True)
        start = start.expand_as(values)
    return _conjugate_gradients(values, hidden, start, tolerance, most_steps)


def _from_half(
    values: torch.Tensor, hidden: torch.Tensor, tolerance: float, most_steps: int
) -> torch.Tensor:
    """The solution at half the side, spread; a coarse pixel is known where any of its four is."""
    share = functional.avg_pool2d((~hidden).float(), 2, ceil_mode=True)  # (M, 1, h, w)
    means = functional.avg_pool2d(values, 2, ceil_mode=True) / share.clamp_min(1e-6)
    coarse = share == 0
    solved = _solve(torch.where(coarse, 0.0, means), coarse, tolerance, most_steps)
    size = (values.shape[-2], values.shape[-1])
    return functional.interpolate(solved, size, mode="bilinear", align_corners=False)


def _conjugate_gradients(
    values: torch.Tensor,
    hidden: torch.Tensor,
    start: torch.Tensor,
    tolerance: float,
    most_steps: int,
) -> torch.Tensor:
    """Each mask and colour is a system of its own: A x = b over the hidden pixels.

    A is the diagonal of the weights that lie within the image, less the weights among hidden
    pixels: symmetric and positive definite. Hestenes and Stiefel 1952.
    """
    open_ = hidden.to(values.dtype)
    diagonal = _neighbours(torch.ones_like(values[:1, :1]))
    right = _neighbours(values) * open_  # from the known pixels
    x = start * open_
    residual = right - _times(x, open_, diagonal)
    scale = _dot(right, right).clamp_min(1e-12)
    direction, left = residual, _dot(residual, residual)
    for _ in range(most_steps):
        if bool((left <= tolerance**2 * scale).all()):
            break
        image = _times(direction, open_, diagonal)
        step = left / _dot(direction, image).clamp_min(1e-20)
        x = torch.addcmul(x, step, direction)
        residual = torch.addcmul(residual, step, image, value=-1)
        before, left = left, _dot(residual, residual)
        direction = torch.addcmul(residual, left / before.clamp_min(1e-20), direction)
    return torch.where(hidden, x, values)


def _times(x: torch.Tensor, open_: torch.Tensor, diagonal: torch.Tensor) -> torch.Tensor:
    return (diagonal * x - _neighbours(x)) * open_


def _neighbours(values: torch.Tensor) -> torch.Tensor:
    """The weighted sum of the eight neighbours; beyond the border there is nothing."""
    channels = values.shape[1]
    kernel = torch.tensor(_WEIGHTS, dtype=values.dtype).expand(channels, 1, 3, 3)
    return functional.conv2d(values, kernel, padding=1, groups=channels)


def _dot(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one * other).sum((2, 3), keepdim=True)
