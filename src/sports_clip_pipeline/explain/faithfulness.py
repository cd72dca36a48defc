"""Faithfulness metrics (ROAD, insertion, deletion) and the weight-randomisation sanity check.

ROAD's noisy linear imputation solves the system of `pytorch_grad_cam.metrics.road`. Here its matrix
is symmetric and cached, its factorisation uses that, and the noise is seeded: half the time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.transforms.v2.functional import gaussian_blur

Predict = Callable[[torch.Tensor], np.ndarray]
"""(B, 3, H, W) pixels to (B,) probabilities of one class."""
NOISE = 0.01
HEAD = "head"


class FaithfulnessMetrics:
    """Faithfulness of saliency maps of one image, by pixel perturbation.

    Args:
        pixels: (3, H, W) float32, preprocessed.
        predict: gives the probabilities of the explained class.
        shares: of the pixels that ROAD removes, in (0, 1).
        steps: of insertion and deletion; the curve has steps + 1 points.
        seed: of ties in a map, and of the noise of imputation.
    Sources: Rong et al. 2022, section 4 (ROAD); Petsiuk et al. 2018 (RISE), section 4.2.
    """

    def __init__(
        self, pixels: torch.Tensor, predict: Predict, shares: Sequence[float], steps: int, seed: int
    ) -> None:
        self._pixels, self._predict, self._seed = pixels, predict, seed
        self._shares, self._steps = shares, steps
        # RISE's σ, 5 pixels at 224, to scale; its code cuts the kernel at 1 σ and pads with zeros.
        sigma = 5.0 * pixels.shape[-1] / 224
        reach = min(max(1, round(2 * sigma)), min(pixels.shape[-2:]) - 1)
        self.blurred = gaussian_blur(pixels, [2 * reach + 1] * 2, [sigma] * 2)
        noise = np.random.default_rng([seed, 5]).normal(0.0, NOISE, tuple(pixels.shape))
        self._noise = torch.from_numpy(noise.astype(np.float32))
        ends = predict(torch.stack([pixels, self.blurred, torch.zeros_like(pixels)]))
        self.whole, self.blur, self.grey = map(float, ends)

    def measure(self, heat: np.ndarray) -> dict[str, float]:
        """The metrics of a map (H, W), of which only the order counts; all are probabilities.

        Returns:
            road_morf: mean probability with the most relevant shares imputed; low is good.
            road_lerf: with the least relevant ones; high is good.
            road: road_lerf - road_morf.
            deletion: area under the probability as pixels turn grey, most relevant first; low is
                good.
            insertion: as pixels of the image replace its blur, most relevant first; high is good.
        """
        order, shape, shares = pixel_order(heat, self._seed), heat.shape, self._shares
        sides = (order, order[::-1])
        removed = [first_of(side, share, shape) for side in sides for share in shares]
        road = impute(self._pixels, np.stack(removed), self._noise)  # (2·S, 3, H, W)
        steps = self._steps
        inner = [first_of(order, step / steps, shape) for step in range(1, steps)]
        top = torch.from_numpy(np.array(inner, dtype=bool).reshape(-1, 1, *shape))
        deleted = torch.where(top, 0.0, self._pixels)  # (steps - 1, 3, H, W)
        inserted = torch.where(top, self._pixels, self.blurred)
        found = self._predict(torch.cat([road, deleted, inserted]))
        morf, lerf, less, more = np.split(found, np.cumsum([len(shares)] * 2 + [steps - 1]))
        deletion = np.array([self.whole, *less, self.grey], np.float64)
        insertion = np.array([self.blur, *more, self.whole], np.float64)
        return {
            "road_morf": float(morf.mean()),
            "road_lerf": float(lerf.mean()),
            "road": float(lerf.mean() - morf.mean()),
            "deletion": float(np.trapezoid(deletion, dx=1 / steps)),
            "insertion": float(np.trapezoid(insertion, dx=1 / steps)),
        }


def pixel_order(heat: np.ndarray, seed: int) -> np.ndarray:
    """(H·W,) int64 flat indices from the most relevant pixel to the least; ties in seeded order.

    Exact ranks, since maps have large flat areas, of which a percentile removes all or nothing.
    """
    ties = np.random.default_rng([seed, 7]).permutation(heat.size)
    return np.lexsort((ties, -heat.ravel()))


def first_of(order: np.ndarray, share: float, shape: tuple[int, ...]) -> np.ndarray:
    """Mask (H, W) bool of the first `share` of the order, to the nearest pixel."""
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
    """Baseline map (H, W) float32 in [0, 1]: noise on the layer's grid, upsampled as maps are."""
    noise = np.random.default_rng([seed, 11]).random(grid, dtype=np.float32)
    coarse = torch.from_numpy(noise)[None, None]
    fine = functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return np.asarray(fine[0, 0])


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation in [-1, 1] of two maps (H, W); 0 if one is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def impute(
    pixels: torch.Tensor, removed: np.ndarray, noise: torch.Tensor | None = None
) -> torch.Tensor:
    """Noisy linear imputation: each removed pixel is the weighted mean of its eight neighbours.

    Args:
        pixels: (3, H, W) float32, preprocessed. removed: (M, H, W) bool.
        noise: (3, H, W) added where pixels were removed.
    Returns: (M, 3, H, W) float32.
    Raises: ValueError: a mask removes every pixel.
    Source: Rong et al. 2022, section 4.1 and appendix C; sides weigh 1/6 and corners 1/12.
    """
    if removed.all(axis=(1, 2)).any():
        raise ValueError("a mask that removes every pixel leaves nothing to impute it from")
    weights = _neighbour_weights(*removed.shape[1:])
    sums = np.asarray(weights.sum(axis=1)).ravel()
    values = pixels.flatten(1).T.numpy().astype(np.float64)  # (H·W, 3)
    filled = np.repeat(values[None], len(removed), axis=0)
    for image, hidden in zip(filled, removed.reshape(len(removed), -1), strict=True):
        if hidden.any():
            rows = weights[hidden]
            system = (sparse.diags_array(sums[hidden]) - rows[:, hidden]).tocsc()
            symmetric = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0}
            solver = splu(system, options={"SymmetricMode": True}, **symmetric)
            image[hidden] = solver.solve(rows[:, ~hidden] @ values[~hidden])
    shape = (len(removed), *pixels.shape)
    imputed = torch.from_numpy(filled.astype(np.float32)).transpose(1, 2).reshape(shape)
    if noise is None:
        return imputed
    return torch.where(torch.from_numpy(removed)[:, None], imputed + noise, imputed)


@lru_cache(maxsize=4)
def _neighbour_weights(height: int, width: int) -> Any:
    """Sparse (H·W, H·W) weights of each pixel's eight neighbours."""
    rows, columns = (
        sparse.diags_array([1.0, 1.0], offsets=[-1, 1], shape=(side, side))
        for side in (height, width)
    )
    beside = sparse.kron(sparse.eye_array(height), columns)
    above = sparse.kron(rows, sparse.eye_array(width))
    return ((beside + above) / 6 + sparse.kron(rows, columns) / 12).tocsr()


class CascadingRandomisation:
    """Sanity check: a network's weights shuffled from the head downwards, and restored.

    Each tensor keeps its values in a random order, so that activations keep their natural size;
    shuffled batch norms get running statistics from a few images.

    Attributes:
        levels: `head`, then the head with the uppermost 1/n, 2/n, … of the encoder's stages.

    Args:
        module: pixels to scores. head: weights above the image encoder.
        stages: of the image encoder, the first one first.
        levels: number of groups of stages; at most the number of stages.
        images: (B, 3, H, W) pixels that shuffled batch norms are fitted on.
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
        self._module, self._images, self._seed = module, images, seed
        groups = np.array_split(np.arange(len(stages))[::-1], min(levels, len(stages)))
        parts = [list(head), *([t for i in group for t in stages[i]] for group in groups)]
        count = len(groups)
        self.levels = (HEAD, *(f"head and {n + 1}/{count} of the encoder" for n in range(count)))
        self._tensors = [tensor for part in parts for tensor in part]
        ends = np.cumsum([len(part) for part in parts]).tolist()
        self._depths = dict(zip(self.levels, ends, strict=True))
        self._statistics: dict[str, list[torch.Tensor]] = {}

    @contextmanager
    def at(self, level: str) -> Iterator[None]:
        """The network with everything down to `level` shuffled; restored exactly on exit."""
        depth = self._depths[level]
        tensors = self._tensors[:depth]
        shuffled = {id(tensor) for tensor in tensors}
        norms = nn.ModuleList(
            part
            for part in self._module.modules()
            if isinstance(part, _BatchNorm) and id(part.weight) in shuffled
        )
        with _replaced(tensors, self._shuffled[:depth]):
            if level not in self._statistics:
                self._statistics[level] = self._fitted(norms)
            with _replaced(list(norms.buffers()), self._statistics[level]):
                yield

    @cached_property
    def _shuffled(self) -> list[torch.Tensor]:
        return [_shuffled(t.data, [self._seed, index]) for index, t in enumerate(self._tensors)]

    def _fitted(self, norms: Any) -> list[torch.Tensor]:
        """The buffers of batch norms whose running statistics are those of the images."""
        fitted = [buffer.clone() for buffer in norms.buffers()]
        momenta = [norm.momentum for norm in norms]
        with _replaced(list(norms.buffers()), fitted), torch.no_grad():
            for norm in norms.train():
                norm.reset_running_stats()
                norm.momentum = None  # the plain mean over batches
            self._module(self._images)
        for norm, momentum in zip(norms.eval(), momenta, strict=True):
            norm.momentum = momentum
        return fitted


def _shuffled(values: torch.Tensor, seed: list[int]) -> torch.Tensor:
    """The same values in a random order, the same shape and memory format."""
    order = np.random.default_rng(seed).permutation(values.numel())
    mixed = values.reshape(-1)[torch.from_numpy(order)].reshape(values.shape)
    if values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last):
        return mixed.contiguous(memory_format=torch.channels_last)
    return mixed


@contextmanager
def _replaced(tensors: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> Iterator[None]:
    """Tensors that hold other values until exit."""
    before = [tensor.data for tensor in tensors]
    try:
        for tensor, value in zip(tensors, values, strict=True):
            tensor.data = value
        yield
    finally:
        for tensor, value in zip(tensors, before, strict=True):
            tensor.data = value
