"""Faithfulness metrics (ROAD, insertion, deletion) and the weight-randomisation sanity check.

ROAD's noisy linear imputation solves the same system as `pytorch_grad_cam.metrics.road`. That one
assembles a matrix for each mask, solves it directly, and draws unseeded noise. Here the matrix,
symmetric and equal to one 3 × 3 convolution, is applied by conjugate gradients to all masks and
colours at once, started from the solution at half the side (cascadic multigrid): several times
faster, and equal within the noise that is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

Predict = Callable[[torch.Tensor], np.ndarray]
"""(B, 3, H, W) pixels to (B,) probabilities of one class."""
NOISE = 0.01
HEAD = "head"
_COARSEST, _MOST_STEPS = 8, 500
_WEIGHTS = ((1 / 12, 1 / 6, 1 / 12), (1 / 6, 0.0, 1 / 6), (1 / 12, 1 / 6, 1 / 12))


@dataclass(frozen=True)
class PreparedImage:
    """One image as a network sees it, with what replaces its pixels.

    Attributes:
        pixels, blurred: (3, H, W) float32; insertion starts from the blurred image.
        noise: (3, H, W), of the imputation.
        seed: of ties.
        end_probabilities: of the explained class for the image, its blur, and mid-grey.
    """

    pixels: torch.Tensor
    blurred: torch.Tensor
    noise: torch.Tensor
    seed: int
    end_probabilities: tuple[float, float, float]


def prepare_image(pixels: torch.Tensor, predict: Predict, seed: int) -> PreparedImage:
    """Prepare an image (3, H, W), once for all its maps."""
    soft = blurred(pixels)
    draw = np.random.default_rng([seed, 5]).normal(0.0, NOISE, tuple(pixels.shape))
    whole, blur, grey = map(float, predict(torch.stack([pixels, soft, torch.zeros_like(pixels)])))
    noise = torch.from_numpy(draw.astype(np.float32))
    return PreparedImage(pixels, soft, noise, seed, (whole, blur, grey))


def faithfulness(
    image: PreparedImage, heat: np.ndarray, predict: Predict, shares: Sequence[float], steps: int
) -> dict[str, float]:
    """Faithfulness of a saliency map by pixel perturbation; all values are probabilities.

    Args:
        heat: (H, W); only its order counts.
        shares: of the pixels that ROAD removes, in (0, 1).
        steps: of insertion and deletion; the curve has steps + 1 points.

    Returns:
        road_morf: mean probability with the most relevant shares imputed; low is good.
        road_lerf: with the least relevant ones; high is good.
        road: road_lerf - road_morf.
        deletion: area under the probability as pixels turn grey, most relevant first; low is good.
        insertion: as pixels of the image replace its blur, most relevant first; high is good.
    Sources: Rong et al. 2022, section 4 (ROAD); Petsiuk et al. 2018 (RISE), section 4.2.
    """
    shape = (heat.shape[0], heat.shape[1])
    order = pixel_order(heat, image.seed)
    removed = [first_of(side, share, shape) for side in (order, order[::-1]) for share in shares]
    masks = torch.from_numpy(np.stack(removed))
    road = impute(image.pixels, masks, image.noise)  # (2·S, 3, H, W)
    inner = [first_of(order, step / steps, shape) for step in range(1, steps)]
    top = torch.from_numpy(np.stack(inner))[:, None] if inner else masks[:0, None]
    deleted = torch.where(top, 0.0, image.pixels)  # (steps - 1, 3, H, W)
    inserted = torch.where(top, image.pixels, image.blurred)
    found = predict(torch.cat([road, deleted, inserted]))
    morf, lerf, less, more = np.split(found, np.cumsum([len(shares)] * 2 + [steps - 1]))
    whole, blur, grey = image.end_probabilities
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
    offsets = torch.arange(-reach, reach + 1, dtype=pixels.dtype)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(len(pixels), 1, -1)
    padded = functional.pad(pixels[None], (reach,) * 4, mode="reflect")
    across = functional.conv2d(padded, kernel[:, :, None, :], groups=len(pixels))
    return functional.conv2d(across, kernel[:, :, :, None], groups=len(pixels))[0]


def pixel_order(heat: np.ndarray, seed: int) -> np.ndarray:
    """(H·W,) int64 flat indices from the most relevant pixel to the least; ties in seeded order.

    Exact ranks, since maps have large flat areas: a percentile of the values removes all of such
    an area or nothing of it. Under one seed all maps break ties alike.
    """
    ties = np.random.default_rng([seed, 7]).permutation(heat.size)
    return np.lexsort((ties, -heat.ravel()))


def first_of(order: np.ndarray, share: float, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the first `share` of the order, to the nearest pixel."""
    mask = np.zeros(order.size, dtype=bool)
    mask[order[: round(share * order.size)]] = True
    return mask.reshape(shape)


def centre_map(height: int, width: int) -> np.ndarray:
    """Baseline map (H, W) float32 in (0, 1]: a centred Gaussian, σ a quarter of the side."""
    rows = (np.arange(height) - (height - 1) / 2) / height
    columns = (np.arange(width) - (width - 1) / 2) / width
    distance = rows[:, None] ** 2 + columns[None, :] ** 2
    return np.exp(-distance / (2 * 0.25**2)).astype(np.float32)


def random_map(height: int, width: int, grid: tuple[int, int], seed: int) -> np.ndarray:
    """Baseline map (H, W) float32 in [0, 1]: noise on the layer's grid, upsampled as maps are.

    Noise of single pixels would ask something else: how sensitive an encoder is to grain.
    """
    noise = np.random.default_rng([seed, 11]).random(grid, dtype=np.float32)
    coarse = torch.from_numpy(noise)[None, None]
    fine = functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return np.asarray(fine[0, 0])


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation in [-1, 1] of two maps (H, W); 0 where one is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(heat.ravel()) for heat in (one, other)]
    if any(np.ptp(values) == 0 for values in ranks):
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def impute(
    pixels: torch.Tensor,
    removed: torch.Tensor,
    noise: torch.Tensor | None = None,
    tolerance: float = 2e-3,
) -> torch.Tensor:
    """Noisy linear imputation: each removed pixel is the weighted mean of its eight neighbours.

    Args:
        pixels: (3, H, W) float32, preprocessed.
        removed: (M, H, W) bool; at least one pixel of each mask stays.
        noise: (3, H, W) added where pixels were removed.
        tolerance: of the residual's norm, relative to that of the right-hand side. The default is
            off by about the noise.
    Returns: (M, 3, H, W) float32.
    Raises: ValueError: a mask removes every pixel.
    Source: Rong et al. 2022, section 4.1 and appendix C; sides weigh 1/6 and corners 1/12.
    """
    if bool(removed.flatten(1).all(dim=1).any()):
        raise ValueError("a mask that removes every pixel leaves nothing to impute it from")
    hidden = removed[:, None]  # (M, 1, H, W)
    filled = _solve(torch.where(hidden, 0.0, pixels[None]), hidden, tolerance)
    return filled if noise is None else torch.where(hidden, filled + noise, filled)


def _solve(values: torch.Tensor, hidden: torch.Tensor, tolerance: float) -> torch.Tensor:
    """(M, 3, H, W): known values where not hidden, the system's solution where hidden."""
    known = (~hidden).float()
    size = (values.shape[-2], values.shape[-1])
    if min(size) >= 2 * _COARSEST and bool(hidden.any()):
        # Half the side: a coarse pixel is known where any of its four is.
        share = functional.avg_pool2d(known, 2, ceil_mode=True)  # (M, 1, h, w)
        means = functional.avg_pool2d(values, 2, ceil_mode=True) / share.clamp_min(1e-6)
        coarse = share == 0
        half = _solve(torch.where(coarse, 0.0, means), coarse, tolerance)
        start = functional.interpolate(half, size, mode="bilinear", align_corners=False)
    else:
        start = (values * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True)
    return _conjugate_gradients(values, hidden, start.expand_as(values), tolerance)


def _conjugate_gradients(
    values: torch.Tensor, hidden: torch.Tensor, start: torch.Tensor, tolerance: float
) -> torch.Tensor:
    """Each mask and colour is a system of its own: A x = b over the hidden pixels.

    A is the diagonal of the weights that lie within the image, less the weights among hidden
    pixels: symmetric and positive definite. Hestenes and Stiefel 1952.
    """
    inside = hidden.to(values.dtype)
    diagonal = _neighbours(torch.ones_like(values[:1, :1]))

    def times(x: torch.Tensor) -> torch.Tensor:
        return (diagonal * x - _neighbours(x)) * inside

    right = _neighbours(values) * inside  # from the known pixels
    x = start * inside
    residual = right - times(x)
    scale = _dot(right, right).clamp_min(1e-12)
    direction, left = residual, _dot(residual, residual)
    for _ in range(_MOST_STEPS):
        if bool((left <= tolerance**2 * scale).all()):
            break
        product = times(direction)
        step = left / _dot(direction, product).clamp_min(1e-20)
        x = torch.addcmul(x, step, direction)
        residual = torch.addcmul(residual, step, product, value=-1)
        before, left = left, _dot(residual, residual)
        direction = torch.addcmul(residual, left / before.clamp_min(1e-20), direction)
    return torch.where(hidden, x, values)


def _neighbours(values: torch.Tensor) -> torch.Tensor:
    """The weighted sum of the eight neighbours, zeros beyond the border."""
    channels = values.shape[1]
    kernel = torch.tensor(_WEIGHTS, dtype=values.dtype).expand(channels, 1, 3, 3)
    return functional.conv2d(values, kernel, padding=1, groups=channels)


def _dot(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one * other).sum((2, 3), keepdim=True)


class CascadingRandomisation:
    """Sanity check: a network's weights shuffled from the head downwards, and restored.

    Each tensor keeps its values in a random order, so that activations keep their natural size;
    batch norms among what was shuffled get new statistics from a few images.

    Attributes:
        levels: `head`, then the head with the uppermost 1/n, 2/n, … of the encoder's stages.
    Source: Adebayo et al. 2018, Sanity Checks for Saliency Maps, section 3.
    """

    def __init__(
        self,
        module: nn.Module,
        head: Sequence[torch.Tensor],
        stages: Sequence[Sequence[torch.Tensor]],
        levels: int,
        images: torch.Tensor,
        seed: int,
    ) -> None:
        """The network, its parts, and what its batch norms are fitted on.

        Args:
            module: pixels to scores. head: weights above the image encoder.
            stages: of the image encoder, the first one first.
            levels: into how many the stages are grouped; no more than there are stages.
            images: (B, 3, H, W) pixels. seed: of the shuffling.
        """
        self._module, self._images, self._seed = module, images, seed
        groups = np.array_split(np.arange(len(stages))[::-1], min(levels, len(stages)))
        self._parts = [list(head), *([t for i in group for t in stages[i]] for group in groups)]
        count = len(groups)
        self.levels = (HEAD, *(f"head and {n + 1}/{count} of the encoder" for n in range(count)))
        self._statistics: dict[str, list[tuple[torch.Tensor, ...]]] = {}

    @contextmanager
    def at(self, level: str) -> Iterator[None]:
        """The network with everything down to `level` shuffled; restored exactly on exit."""
        depth = self.levels.index(level) + 1
        tensors = [tensor for part in self._parts[:depth] for tensor in part]
        norms = _batch_norms(self._module, tensors)
        weights = [tensor.data for tensor in tensors]
        statistics = [_statistics_of(norm) for norm in norms]
        try:
            for index, tensor in enumerate(tensors):
                tensor.data = _shuffled(tensor.data, [self._seed, index])
            self._refit(level, norms)
            yield
        finally:
            _restore(norms, statistics)
            for tensor, values in zip(tensors, weights, strict=True):
                tensor.data = values

    def _refit(self, level: str, norms: Sequence[Any]) -> None:
        """Statistics of the shuffled batch norms, computed once for each level."""
        if norms and level not in self._statistics:
            momenta = [norm.momentum for norm in norms]
            try:
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum = None  # the plain mean over batches
                    norm.train()
                with torch.no_grad():
                    self._module(self._images)
            finally:
                for norm, momentum in zip(norms, momenta, strict=True):
                    norm.momentum = momentum
                    norm.eval()
            self._statistics[level] = [_statistics_of(norm) for norm in norms]
        _restore(norms, self._statistics.get(level, ()))


def _shuffled(values: torch.Tensor, seed: list[int]) -> torch.Tensor:
    """The same values in a random order, the same shape and memory format."""
    order = np.random.default_rng(seed).permutation(values.numel())
    mixed = values.reshape(-1)[torch.from_numpy(order)].reshape(values.shape)
    if values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last):
        return mixed.contiguous(memory_format=torch.channels_last)
    return mixed


def _batch_norms(module: nn.Module, tensors: Sequence[torch.Tensor]) -> list[Any]:
    """Batch norms with statistics whose weights are among `tensors`."""
    shuffled = {id(tensor) for tensor in tensors}
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    return [n for n in norms if n.running_mean is not None and id(n.weight) in shuffled]


def _statistics_of(norm: Any) -> tuple[torch.Tensor, ...]:
    return tuple(buffer.clone() for buffer in norm.buffers())


def _restore(norms: Sequence[Any], statistics: Sequence[tuple[torch.Tensor, ...]]) -> None:
    for norm, values in zip(norms, statistics, strict=True):
        for buffer, value in zip(norm.buffers(), values, strict=True):
            buffer.copy_(value)
