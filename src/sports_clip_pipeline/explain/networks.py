"""Networks under explanation: the classifier and CLIP, with their target layers and scores.

A map is best at the deepest layer that still has one (Selvaraju et al. 2017, section 3). In timm's
EfficientNets that is `bn2`: `conv_head` normalised and clipped by its ReLU6, which the global
pooling averages, so that for a linear head the map sums to the score. In vision transformers it is
the first norm of the last block: an encoder that uses its class token ignores the patches that the
last block itself gives, and their gradient is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sports_clip_pipeline.clip.folder import load_clip
from sports_clip_pipeline.clip.model import image_blocks, image_encoder, timm_stages
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.fingerprint import file_sha256, fingerprint
from sports_clip_pipeline.predictor.head import HeadModule
from sports_clip_pipeline.predictor.predictor import predictor_fingerprint

CLASSIFIER, PROMPTS = "classifier", "prompts"
AUTO = "auto"
# The last map before pooling, by the name that timm's families give it: EfficientNet and
# MobileNet-like, ResNet, ConvNeXt, RegNet and VGG-like.
_LAST_MAPS = ("bn2", "layer4", "stages", "final_conv", "features")
Target = int | tuple[int, int]
"""A score, or the difference of two: what supports the first against the second."""


def unexplainable(image: str, what: str) -> UserFacingError:
    """The error of an image that cannot be explained."""
    remedy = "check the model's weights and cam.layer, or leave the image out"
    return UserFacingError(f"explanation of {image}", what, remedy)


def pick_score(
    scores: torch.Tensor, target: Target, image: str, needs_gradient: bool = True
) -> torch.Tensor:
    """One of the scores (C,), or a difference of two, checked to be explainable.

    Raises: ValueError: no such score. UserFacingError: not finite, or no layer reaches it.
    """
    indices = (target,) if isinstance(target, int) else target
    for index in indices:
        if not 0 <= index < len(scores):
            raise ValueError(f"target {index} is outside the module's {len(scores)} scores")
        if not torch.isfinite(scores[index]):
            raise unexplainable(image, f"score {index} is {scores[index].item()}")
    score = scores[indices[0]]
    if len(indices) == 2:
        score = score - scores[indices[1]]
    if needs_gradient and not score.requires_grad:
        raise unexplainable(image, f"no gradient of score {target} reaches the chosen layer")
    return score


@contextmanager
def frozen(module: nn.Module) -> Iterator[nn.Module]:
    """Eval mode, no gradients for weights, autograd on; all restored on exit."""
    training = {part: part.training for part in module.modules()}
    trainable = {weight: weight.requires_grad for weight in module.parameters()}
    try:
        module.eval()
        module.requires_grad_(False)
        with torch.enable_grad():
            yield module
    finally:
        for part, mode in training.items():
            part.training = mode
        for weight, flag in trainable.items():
            weight.requires_grad_(flag)


@dataclass(frozen=True)
class TokenGrid:
    """Grid of a vision transformer's patches, and its number of class and register tokens."""

    height: int
    width: int
    prefix: int

    def as_map(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T, K) tokens to (B, K, h, w). Raises: ValueError: T is not h·w + prefix."""
        batch, count, width = tokens.shape
        if count != self.height * self.width + self.prefix:
            raise ValueError(
                f"{count} tokens are not {self.height} × {self.width} patches and {self.prefix}"
            )
        patches = tokens[:, self.prefix :].transpose(1, 2)  # (B, K, h·w)
        return patches.reshape(batch, width, self.height, self.width)


def token_grid(module: nn.Module, layer: nn.Module) -> TokenGrid | None:
    """Grid of the vision transformer within `module` that `layer` is part of, if any."""
    for part in module.modules():
        grid = _own_grid(part)
        if grid is not None and any(inner is layer for inner in part.modules()):
            return grid
    return None


def find_layer(encoder: nn.Module, name: str = AUTO) -> nn.Module:
    """Target layer: the part of `encoder` with a dotted name, or for `auto` the last map.

    Raises: UserFacingError: no such part; or `auto` and no supported family.
    """
    parts = dict(encoder.named_modules())
    found = parts.get(name) if name else None
    if name == AUTO:
        last = next((name for name in _LAST_MAPS if name in parts), "")
        found = _last_first_norm(encoder) or (parts[last] if last else None)
    if found is None:
        children = ", ".join(child for child, _ in encoder.named_children()) or "nothing"
        raise UserFacingError(
            f"parameter cam.layer = {name}",
            f"the encoder {type(encoder).__name__} has no such layer (at its top: {children})",
            "name one of its convolutional layers, such as blocks.6, or of a transformer's norms",
        )
    return found


def _own_grid(part: Any) -> TokenGrid | None:
    """Token grid of one of timm's vision transformers or of open_clip's own."""
    patches = getattr(getattr(part, "patch_embed", None), "grid_size", None)
    if patches is not None and hasattr(part, "num_prefix_tokens"):
        return TokenGrid(int(patches[0]), int(patches[1]), int(part.num_prefix_tokens))
    if hasattr(part, "class_embedding") and hasattr(part, "grid_size"):
        return TokenGrid(int(part.grid_size[0]), int(part.grid_size[1]), 1)
    return None


def _last_first_norm(encoder: nn.Module) -> nn.Module | None:
    """First norm of the last block of a vision transformer; None for other encoders."""
    part: Any = next((part for part in encoder.modules() if _own_grid(part) is not None), None)
    blocks = getattr(part, "blocks", None)
    if blocks is None:
        blocks = getattr(getattr(part, "transformer", None), "resblocks", [None])
    norm: nn.Module | None = getattr(blocks[-1], "norm1", None) or getattr(blocks[-1], "ln_1", None)
    return norm


@dataclass(frozen=True)
class Network:
    """One network over all classes.

    Attributes:
        kind: `classifier` or `prompts`. layer: target layer. classes: the C labels.
        module: pixels (B, 3, H, W) to scores (B, C); probabilities are the softmax of
            scores / temperature.
        head, stages: weights above the image encoder, and its own by stage, the first one first.
        batch: images of a forward pass.
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

    def pixels(self, image: Any) -> torch.Tensor:
        """Preprocessed image (3, H, W)."""
        return torch.from_numpy(np.ascontiguousarray(self.preprocessing.to_array(image)))

    def probabilities(self, pixels: torch.Tensor) -> np.ndarray:
        """(B, C) float32 for (B, 3, H, W), in batches."""
        blocks = pixels.split(self.batch)
        with torch.inference_mode():
            scores = [self.module(b.contiguous(memory_format=torch.channels_last)) for b in blocks]
            return torch.softmax(torch.cat(scores) / self.temperature, dim=1).float().numpy()

    def grid(self, pixels: torch.Tensor) -> tuple[int, int]:
        """Height and width of the target layer's map of one image (3, H, W)."""
        tokens = token_grid(self.module, self.layer)
        if tokens is not None:
            return tokens.height, tokens.width
        shapes: list[torch.Size] = []
        hook = self.layer.register_forward_hook(lambda _, __, out: shapes.append(out.shape))
        try:
            self.probabilities(pixels[None])
        finally:
            hook.remove()
        return int(shapes[0][-2]), int(shapes[0][-1])

    def class_probability(self, target: int) -> Callable[[torch.Tensor], np.ndarray]:
        """Function of pixels (B, 3, H, W) that gives the probability (B,) of one class."""
        return lambda pixels: self.probabilities(pixels)[:, target]


@dataclass(frozen=True)
class NetworkPlan:
    """Picklable description of networks, built in each worker process.

    `prompts` has one for each class, `prompt_emb` (C, E) their unit-norm embeddings by the CLIP
    model in the folder `clip`.
    """

    kinds: tuple[str, ...]
    predictor: Any
    clip: Path
    prompts: tuple[str, ...]
    prompt_emb: np.ndarray | None
    layer: str
    batch: int

    def build(self) -> list[Network]:
        """The networks."""
        builders = {CLASSIFIER: self._classifier, PROMPTS: self._prompts}
        return [builders[kind]() for kind in self.kinds]

    def identity(self) -> str:
        """Fingerprint of their weights and prompts."""
        files = sorted(self.clip.glob("*.safetensors")) if PROMPTS in self.kinds else []
        return fingerprint(
            list(self.kinds), predictor_fingerprint(self.predictor), list(self.prompts), self.layer,
            [file_sha256(file) for file in files],
        )  # fmt: skip

    def _classifier(self) -> Network:
        """The fine-tuned classifier; layer and stages are of its first image encoder."""
        predictor, module = self.predictor, self.predictor.module()
        encoder, head = module.encoder, tuple(_head_weights(module.head))
        stages = timm_stages if hasattr(encoder, "group_matcher") else image_blocks
        return Network(
            CLASSIFIER, module.to(memory_format=torch.channels_last).eval(),
            find_layer(encoder, self.layer), predictor.preprocessing, tuple(predictor.classes),
            predictor.temperature, head, tuple(map(tuple, stages(encoder))), self.batch,
        )  # fmt: skip

    def _prompts(self) -> Network:
        """CLIP; the prompt embeddings are the rows of a linear classifier."""
        assert self.prompt_emb is not None
        clip = load_clip(self.clip)
        module = TextTarget(clip.model, torch.from_numpy(self.prompt_emb))
        projection = getattr(getattr(clip.model, "visual", None), "head", None)
        head = (*(projection.parameters() if projection is not None else ()), module.text_emb)
        return Network(
            PROMPTS, module.to(memory_format=torch.channels_last).eval(),
            find_layer(module.encoder, self.layer), clip.preprocessing,
            tuple(self.predictor.classes), 1.0, head, tuple(map(tuple, image_blocks(clip.model))),
            self.batch,
        )  # fmt: skip


def _head_weights(head: HeadModule) -> list[torch.Tensor]:
    """Weights and biases of a head's affine operations, including its branches'."""
    return [
        buffer
        for name, buffer in head.named_buffers()
        if name.endswith((".weight", ".bias")) and buffer.numel() > 1
    ]


class TextTarget(nn.Module):
    """Zero-shot scores: pixels (B, 3, H, W) to logit scale × cosine with each of P texts (B, P).

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
