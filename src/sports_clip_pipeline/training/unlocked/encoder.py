"""Pairs of a split to embeddings: through a tower that is unlocked, from features else."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.clip.model import project_images, project_texts
from sports_clip_pipeline.data.captions import pad
from sports_clip_pipeline.training.unlocked.blocks import Unlocked
from sports_clip_pipeline.training.unlocked.pairs import TowerPairs
from sports_clip_pipeline.training.unlocked.precision import Compute


class PairEncoder(nn.Module):
    """open_clip's model as one module from rows of a split to embeddings, for torch's wrappers.

    Args:
        model: open_clip's `CustomTextCLIP`, on the device of `compute`.
        unlocked: which of its towers are run.
    """

    def __init__(self, model: Any, unlocked: Unlocked, compute: Compute) -> None:
        super().__init__()
        self.model, self.unlocked, self.compute = model, unlocked, compute
        # Pairs of open_clip's own have rows of one length, and no configuration.
        self.padding = int(getattr(getattr(model.text, "config", None), "pad_token_id", 0) or 0)

    def forward(
        self, pairs: TowerPairs, images: np.ndarray, texts: np.ndarray, pixels: Any
    ) -> tuple[torch.Tensor, ...]:
        """Embeddings of images and captions, the scale, and the bias where there is one."""
        return (self.images(pairs, images, pixels), self.texts(pairs, texts), *self.scale())

    def images(self, pairs: TowerPairs, rows: np.ndarray, pixels: Any) -> torch.Tensor:
        """Images (B,) of a split to (B, P) float32 unit-norm.

        Args:
            pixels: (B, 3, H, W) on the device; None where the image tower is locked.
        """
        with self.compute.autocast():
            if self.unlocked.image:
                projected = self.model.visual(pixels)
            else:
                features = self._on_device(pairs.features.image[rows])
                projected = project_images(self.model, features)
        return functional.normalize(projected.float(), dim=1)

    def texts(self, pairs: TowerPairs, rows: np.ndarray) -> torch.Tensor:
        """Captions (B,) of a split to (B, P) float32 unit-norm."""
        with self.compute.autocast():
            if self.unlocked.text:
                ids, _ = pad([pairs.token_ids[row] for row in rows], self.padding)
                projected = self.model.text(self._on_device(ids))
            else:
                features = self._on_device(pairs.features.text[rows])
                projected = project_texts(self.model, features)
        return functional.normalize(projected.float(), dim=1)

    def scale(self) -> tuple[torch.Tensor, ...]:
        """The scale of cosines, and the bias where there is one."""
        bias = self.model.logit_bias
        return (self.model.logit_scale.exp(), *([] if bias is None else [bias]))

    def _on_device(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self.compute.device)
