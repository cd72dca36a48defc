"""Networks under explanation: the classifier, and CLIP with free text as its classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sports_clip_pipeline.clip.folder import load_clip
from sports_clip_pipeline.clip.model import image_blocks, image_encoder, timm_stages
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.explain.targets import AUTO, find_layer, token_grid
from sports_clip_pipeline.io.fingerprint import file_sha256, fingerprint
from sports_clip_pipeline.predictor.head import HeadModule
from sports_clip_pipeline.predictor.predictor import predictor_fingerprint

CLASSIFIER, PROMPTS = "classifier", "prompts"


@dataclass(frozen=True)
class Network:
    """One network over all classes.

    Attributes:
        kind: `classifier` or `prompts`.
        module: pixels (B, 3, H, W) to scores (B, C); probabilities are the softmax of
            scores / temperature.
        layer: whose maps are weighted.
        preprocessing: of its images.
        classes: the C labels.
        temperature: > 0.
        head: weights above the image encoder, down to single tensors.
        stages: weights of the image encoder by stage, the first one first.
        batch: images a forward pass.
    """

    kind: str
    module: nn.Module
    layer: nn.Module
    preprocessing: ImageTransform
    classes: tuple[str, ...]
    temperature: float
    head: tuple[torch.Tensor, ...]
    stages: tuple[tuple[torch.Tensor, ...], ...]
    batch: int = 32

    def pixels(self, photo: Any) -> torch.Tensor:
        """(3, H, W) of an image."""
        return torch.from_numpy(np.ascontiguousarray(self.preprocessing.to_array(photo)))

    def probabilities(self, pixels: torch.Tensor) -> np.ndarray:
        """(B, C) float32 for (B, 3, H, W), in batches."""
        with torch.inference_mode():
            scores = [self.module(_last(block)) for block in pixels.split(self.batch)]
            return torch.softmax(torch.cat(scores) / self.temperature, dim=1).float().numpy()

    def grid(self, pixels: torch.Tensor) -> tuple[int, int]:
        """Height and width of the layer's map of one image (3, H, W)."""
        tokens = token_grid(self.module, self.layer)
        if tokens is not None:
            return tokens.height, tokens.width
        seen: list[torch.Size] = []
        hook = self.layer.register_forward_hook(lambda *given: seen.append(given[2].shape))
        try:
            self.probabilities(pixels[None])
        finally:
            hook.remove()
        return int(seen[0][-2]), int(seen[0][-1])

    def class_probability(self, target: int) -> Callable[[torch.Tensor], np.ndarray]:
        """Pixels (B, 3, H, W) to the probability (B,) of one class."""
        return lambda pixels: self.probabilities(pixels)[:, target]


def classifier_network(predictor: Any, layer: str = AUTO, batch: int = 32) -> Network:
    """The fine-tuned classifier; maps and stages are of its first image encoder."""
    module = predictor.module()
    return Network(
        CLASSIFIER,
        module.to(memory_format=torch.channels_last).eval(),
        find_layer(module.encoder, layer),
        predictor.preprocessing,
        tuple(predictor.classes),
        predictor.temperature,
        tuple(_head_weights(module.head)),
        _stages(module.encoder),
        batch,
    )


def prompt_network(
    folder: Path,
    text_emb: np.ndarray,
    classes: tuple[str, ...],
    layer: str = AUTO,
    batch: int = 32,
) -> Network:
    """The classes' prompts through CLIP.

    Args:
        folder: of CLIP. text_emb: (C, E) float32 unit-norm, of one prompt a class.
    """
    clip = load_clip(folder)
    module = TextTarget(clip.model, torch.from_numpy(text_emb))
    projection = getattr(getattr(clip.model, "visual", None), "head", None)
    projecting = list(projection.parameters()) if projection is not None else []
    head = [*projecting, module.text_emb]  # the texts are the rows of a linear classifier
    stages = tuple(tuple(block) for block in image_blocks(clip.model))
    return Network(
        PROMPTS,
        module.to(memory_format=torch.channels_last).eval(),
        find_layer(module.encoder, layer),
        clip.preprocessing,
        classes,
        1.0,
        tuple(head),
        stages,
        batch,
    )


@dataclass(frozen=True)
class NetworkPlan:
    """What networks are built from; small enough to be handed to another process.

    Attributes:
        kinds: `classifier`, `prompts`. predictor: of the classifier.
        clip: folder. prompts, prompt_emb: one a class, and its embedding (C, E).
        layer, batch: see `Network` and `find_layer`.
    """

    kinds: tuple[str, ...]
    predictor: Any
    clip: Path
    prompts: tuple[str, ...]
    prompt_emb: np.ndarray | None
    layer: str
    batch: int

    def build(self) -> list[Network]:
        """The networks, in this process."""
        return [self._one(kind) for kind in self.kinds]

    def identity(self) -> str:
        """A fingerprint of their weights and questions."""
        files = sorted(self.clip.glob("*.safetensors")) if PROMPTS in self.kinds else []
        return fingerprint(
            list(self.kinds), predictor_fingerprint(self.predictor), list(self.prompts), self.layer,
            [file_sha256(file) for file in files],
        )  # fmt: skip

    def _one(self, kind: str) -> Network:
        if kind == CLASSIFIER:
            return classifier_network(self.predictor, self.layer, self.batch)
        if self.prompt_emb is None:
            raise ValueError("prompts have no embeddings")
        classes = tuple(self.predictor.classes)
        return prompt_network(self.clip, self.prompt_emb, classes, self.layer, self.batch)


def _stages(encoder: Any) -> tuple[tuple[torch.Tensor, ...], ...]:
    blocks = timm_stages(encoder) if hasattr(encoder, "group_matcher") else image_blocks(encoder)
    return tuple(tuple(block) for block in blocks)


def _head_weights(head: HeadModule) -> list[torch.Tensor]:
    """Weights and biases of a head's affine operations, its branches' among them."""
    return [
        buffer
        for name, buffer in head.named_buffers()
        if name.endswith(("_weight", "_bias")) and buffer.numel() > 1
    ]


def _last(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.contiguous(memory_format=torch.channels_last)


class TextTarget(nn.Module):
    """Pixels (B, 3, H, W) to scores (B, P): logit scale × cosine with each of P texts.

    Args:
        clip: an open_clip model with `encode_image` and `logit_scale`.
        text_emb: (P, E) float32, unit-norm.
    """

    text_emb: torch.Tensor

    def __init__(self, clip: nn.Module, text_emb: torch.Tensor) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("text_emb", text_emb.detach().clone(), persistent=False)

    @property
    def encoder(self) -> nn.Module:
        """The image encoder below the projection."""
        return image_encoder(self.clip)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, P)."""
        image_emb: torch.Tensor = self.clip.encode_image(pixels, normalize=True)  # type: ignore[operator]
        return self.clip.logit_scale.exp() * image_emb @ self.text_emb.T  # type: ignore[operator]
