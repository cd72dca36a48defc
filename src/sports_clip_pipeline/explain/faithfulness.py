"""Does a map point at what the network uses? Measured by taking pixels away and giving them back.

All measures are probabilities of the explained answer, in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from sports_clip_pipeline.explain.imputation import NOISE, fill_in
from sports_clip_pipeline.explain.ranking import first_of, pixel_order

Ask = Callable[[torch.Tensor], np.ndarray]
"""(B, 3, H, W) pixels to (B,) probabilities of one answer."""


@dataclass(frozen=True)
class Photograph:
    """One photograph as a network sees it, and what stands in for it.

    Attributes:
        pixels: (3, H, W) float32.
        blurred: the same, blurred: what insertion starts from.
        noise: (3, H, W), of the imputation.
        seed: of the ties.
        ends: probability of the answer of the photograph itself, of its blur, of mid-grey.
    """

    pixels: torch.Tensor
    blurred: torch.Tensor
    noise: torch.Tensor
    seed: int
    ends: tuple[float, float, float]


def see(pixels: torch.Tensor, ask: Ask, seed: int) -> Photograph:
    """Prepare a photograph (3, H, W), once for all its maps."""
    soft = blurred(pixels)
    draw = np.random.default_rng([seed, 5]).normal(0.0, NOISE, tuple(pixels.shape))
    ends = ask(torch.stack([pixels, soft, torch.zeros_like(pixels)]))
    whole, blur, grey = map(float, ends)
    noise = torch.from_numpy(draw.astype(np.float32))
    return Photograph(pixels, soft, noise, seed, (whole, blur, grey))


def faithfulness(
    photograph: Photograph, heat: np.ndarray, ask: Ask, shares: Sequence[float], steps: int
) -> dict[str, float]:
    """How much the answer hangs on what a map points at.

    Args:
        heat: (H, W); only its order counts.
        shares: of the pixels that ROAD removes, in (0, 1).
        steps: of insertion and deletion; the curve has steps + 1 points.

    Returns:
        road_morf: mean probability with the most relevant shares filled in; low is good.
        road_lerf: with the least relevant ones; high is good.
        road: road_lerf - road_morf.
        deletion: area under the probability as pixels turn grey, most relevant first; low is good.
        insertion: as pixels of the photograph replace its blur, most relevant first; high is good.
    Sources: Rong et al. 2022, section 4 (ROAD); Petsiuk et al. 2018 (RISE), section 4.2.
    """
    shape = (heat.shape[0], heat.shape[1])
    order = pixel_order(heat, photograph.seed)
    removed = [first_of(side, share, shape) for side in (order, order[::-1]) for share in shares]
    masks = torch.from_numpy(np.stack(removed))
    road = fill_in(photograph.pixels, masks, photograph.noise)  # (2·S, 3, H, W)
    inner = [first_of(order, step / steps, shape) for step in range(1, steps)]
    ones = torch.from_numpy(np.stack(inner))[:, None] if inner else masks[:0, None]
    deleted = torch.where(ones, 0.0, photograph.pixels)  # (steps - 1, 3, H, W)
    inserted = torch.where(ones, photograph.pixels, photograph.blurred)
    answers = ask(torch.cat([road, deleted, inserted]))
    morf, lerf, less, more = np.split(answers, np.cumsum([len(shares)] * 2 + [steps - 1]))
    whole, blur, grey = photograph.ends
    return {
        "road_morf": float(morf.mean()),
        "road_lerf": float(lerf.mean()),
        "road": float(lerf.mean() - morf.mean()),
        "deletion": area([whole, *less, grey]),
        "insertion": area([blur, *more, whole]),
    }


def area(curve: Sequence[float]) -> float:
    """Area under equally spaced points of a curve over [0, 1], by trapezoids.

    >>> area([1.0, 0.5, 0.0])
    0.5
    """
    return float(np.trapezoid(np.asarray(curve, dtype=np.float64), dx=1 / (len(curve) - 1)))


def blurred(pixels: torch.Tensor) -> torch.Tensor:
    """(3, H, W) under a Gaussian of 5 pixels at 224, as in RISE, and in proportion elsewhere."""
    sigma = 5.0 * pixels.shape[-1] / 224
    reach = min(max(1, round(2 * sigma)), min(pixels.shape[-2:]) - 1)
    places = torch.arange(-reach, reach + 1, dtype=pixels.dtype)
    kernel = torch.exp(-(places**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(len(pixels), 1, -1)
    padded = functional.pad(pixels[None], (reach,) * 4, mode="reflect")
    across = functional.conv2d(padded, kernel[:, :, None, :], groups=len(pixels))
    return functional.conv2d(across, kernel[:, :, :, None], groups=len(pixels))[0]
