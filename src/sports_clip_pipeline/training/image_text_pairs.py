"""Image-text pairs of a split, and the modules that embed them: projections, and encoders."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.clip.losses import OBJECTIVES
from sports_clip_pipeline.clip.model import projection_heads
from sports_clip_pipeline.clip.projections import (
    IMAGE,
    TEXT,
    Projections,
    build_head,
    first_layer,
    projections_of,
)
from sports_clip_pipeline.data.captions import pad
from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.encoders.features import FeatureRows
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.training.distributed import Compute


@dataclass(frozen=True)
class ImageTextPairs:
    """Images and captions of one split, with their cached features by frozen encoders.

    Attributes:
        image: (N, D) float32 pooled image features.
        text: (M, E) float32 pooled caption features.
        image_index: (M,) int in [0, N); the image that caption m describes.
        views: (N, D) float32 each; features of single views of the images, whose mean is `image`;
            empty where training uses the mean.
        store: of the corpus. rows: (N,) int64 rows of the images in the store.
        token_ids: M arrays of int32, without padding. These three are read by unlocked encoders.
    """

    image: FeatureRows
    text: FeatureRows
    image_index: np.ndarray
    views: tuple[FeatureRows, ...] = ()
    store: ImageStore | None = None
    rows: np.ndarray | None = None
    token_ids: Sequence[np.ndarray] = ()

    def captions_of(self) -> list[np.ndarray]:
        """Caption rows of each image."""
        order = np.argsort(self.image_index, kind="stable")
        bounds = np.searchsorted(self.image_index[order], np.arange(1, len(self.image)))
        return np.split(order, bounds)


def pairs_of_split(
    image: np.ndarray,
    text: np.ndarray,
    manifest: pd.DataFrame,
    captions: pd.DataFrame,
    split: str,
    views: Sequence[np.ndarray] = (),
    store: ImageStore | None = None,
) -> ImageTextPairs:
    """Pairs of one split, its images renumbered from 0; features are read lazily.

    `image`, `views` and `store` are in manifest order, `text` is in caption order.

    Raises: ValueError: the split has no image with captions, or the store another length.
    """
    if store is not None and len(store) != len(manifest):
        raise ValueError(f"{len(store)} images for {len(manifest)} manifest rows")
    image_row = captions["image_row"].to_numpy()
    caption_rows = np.flatnonzero(captions["split"].to_numpy() == split)
    split_rows = np.flatnonzero(manifest["split"].to_numpy() == split)
    rows = np.intersect1d(split_rows, image_row[caption_rows])
    if len(rows) == 0:
        raise ValueError(f"no captioned image in the split {split!r}")
    token_ids: list[np.ndarray] = []
    if store is not None:
        token_ids = [np.asarray(ids, np.int32) for ids in captions["token_ids"].iloc[caption_rows]]
    return ImageTextPairs(
        image=FeatureRows(image, rows),
        text=FeatureRows(text, caption_rows),
        image_index=np.searchsorted(rows, image_row[caption_rows]).astype(np.int64),
        views=tuple(FeatureRows(view, rows) for view in views),
        store=store,
        rows=rows,
        token_ids=token_ids,
    )


class Projector(nn.Module):
    """Projection heads over standardised features; `folded` gives those over raw features."""

    mean: torch.Tensor
    scale: torch.Tensor
    text_scale: torch.Tensor

    def __init__(self, pairs: ImageTextPairs, config: PretrainConfig) -> None:
        super().__init__()
        image, text = np.asarray(pairs.image), np.asarray(pairs.text)
        self.register_buffer("mean", torch.from_numpy(image.mean(axis=0)))
        # One scale for all features: scaling each to unit variance blows up the rare ones, and
        # cost 2 points of R@5 on Flickr8k validation.
        self.register_buffer("scale", torch.tensor(float(image.std()) + 1e-6))
        self.register_buffer("text_scale", torch.tensor(float(np.sqrt((text**2).mean()))))
        kind, space = config.projections, config.embed_dim
        # Eval mode: feature dropout has its own generator, the heads' own waits for the encoders.
        self.image = build_head(kind, pairs.image.shape[1], space, bias=True).eval()
        self.text = build_head(kind, pairs.text.shape[1], space, bias=False).eval()
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(config.initial_temperature)))
        images = min(config.batch_size, len(pairs.image))
        bias = OBJECTIVES[config.loss].starting_bias(images)
        self.logit_bias = None if bias is None else nn.Parameter(torch.tensor(bias))

    def standardise(self, image: np.ndarray, text: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Pooled features (N, D), (M, E), standardised by the training split."""
        images, texts = torch.from_numpy(image), torch.from_numpy(text)
        return (images - self.mean) / self.scale, texts / self.text_scale

    def forward(self, image: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Standardised features (N, D), (M, E) to unit-norm embeddings (N, P), (M, P)."""
        image_emb = functional.normalize(self.image(image), dim=1)
        return image_emb, functional.normalize(self.text(text), dim=1)

    def folded(self) -> Projections:
        """Equivalent projections of raw features: the standardisation is part of the weights."""
        image, text = copy.deepcopy(self.image), copy.deepcopy(self.text)
        with torch.no_grad():
            first = first_layer(image)
            first.weight.div_(self.scale)  # (P, D)
            first.bias.sub_(first.weight @ self.mean)
            first_layer(text).weight.div_(self.text_scale)
        inner = "proj." if isinstance(image, nn.Linear) else ""
        state = {f"{IMAGE}{inner}{name}": value for name, value in image.state_dict().items()}
        state |= {f"{TEXT}{name}": value for name, value in text.state_dict().items()}
        state["logit_scale"] = self.logit_scale
        if self.logit_bias is not None:
            state["logit_bias"] = self.logit_bias
        return projections_of({name: value.detach().numpy() for name, value in state.items()})


class PairEncoder(nn.Module):
    """Image and text encoder from rows of a split to embeddings, as one module for DDP.

    A frozen encoder of `model` (open_clip's) is not run: its cached features are projected.
    """

    def __init__(self, model: Any, config: PretrainConfig, compute: Compute) -> None:
        super().__init__()
        self.model, self.config, self.compute = model, config, compute
        self._heads = projection_heads(model)  # in a tuple: parameters of `model` alone
        # open_clip's own text encoders have rows of one length, and no configuration.
        self.padding = int(getattr(getattr(model.text, "config", None), "pad_token_id", 0) or 0)

    def forward(
        self, pairs: ImageTextPairs, images: np.ndarray, texts: np.ndarray, pixels: Any
    ) -> tuple[torch.Tensor, ...]:
        """Image and caption embeddings, the logit scale, and the logit bias if there is one."""
        return (self.images(pairs, images, pixels), self.texts(pairs, texts), *self.scale())

    def images(self, pairs: ImageTextPairs, rows: np.ndarray, pixels: Any) -> torch.Tensor:
        """Image rows (B,), with pixels if unlocked, to unit-norm embeddings (B, P) float32."""
        with self.compute.autocast():
            if self.config.unlocked_image_blocks:
                projected = self.model.visual(pixels)
            else:
                projected = self._heads[0](self._on_device(pairs.image[rows]))
        return functional.normalize(projected.float(), dim=1)

    def texts(self, pairs: ImageTextPairs, rows: np.ndarray) -> torch.Tensor:
        """Caption rows (B,) to unit-norm embeddings (B, P) float32."""
        with self.compute.autocast():
            if self.config.unlocked_text_blocks:
                ids, _ = pad([pairs.token_ids[row] for row in rows], self.padding)
                projected = self.model.text(self._on_device(ids))
            else:
                projected = self._heads[1](self._on_device(pairs.text[rows]))
        return functional.normalize(projected.float(), dim=1)

    def scale(self) -> tuple[torch.Tensor, ...]:
        """The logit scale, and the logit bias if there is one."""
        bias = self.model.logit_bias
        return (self.model.logit_scale.exp(), *([] if bias is None else [bias]))

    def _on_device(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self.compute.device)
