"""Networks under explanation: the classifier and CLIP, with their target layers and scores.

A map is best at the deepest layer that still has one (Selvaraju et al. 2017, section 3). In timm's
EfficientNets that is `bn2`: `conv_head` normalised and clipped by its ReLU6, which the global
pooling averages, so that for a linear head the map sums to the score. In vision transformers it is
the first norm of the last block: an encoder that uses its class token ignores the patches that the
last block itself gives, and their gradient is zero.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from sports_clip_pipeline.clip.folder import load_clip
from sports_clip_pipeline.clip.model import image_blocks, image_encoder, timm_stages
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.fingerprint import file_sha256, fingerprint
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

    Raises: UserFacingError: it is not finite, or no layer reaches it.
    """
    score = scores[target] if isinstance(target, int) else scores[target[0]] - scores[target[1]]
    if not torch.isfinite(score):
        raise unexplainable(image, f"score {target} is {score.item()}")
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


class TokenGrid(NamedTuple):
    """Grid of a vision transformer's patches, and its number of class and register tokens."""

    height: int
    width: int
    prefix: int


def layer_map(output: Any, grid: TokenGrid | None) -> torch.Tensor | None:
    """A layer's output as a map (B, K, h, w) with h·w > 1; None where it is no such map.

    Args: grid: of a vision transformer, whose layers give tokens (B, T, K) with T = h·w + prefix.
    """
    if not isinstance(output, torch.Tensor):
        return None
    if output.ndim == 3 and grid is not None:
        if output.shape[1] != grid.height * grid.width + grid.prefix:
            return None
        patches = output[:, grid.prefix :].transpose(1, 2)  # (B, K, h·w)
        return patches.unflatten(2, (grid.height, grid.width))
    return output if output.ndim == 4 and output[0, 0].numel() > 1 else None


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
    parts = {part: module for part, module in encoder.named_modules() if part}
    found = parts.get(name)
    if name == AUTO:
        last_maps = [parts[last] for last in _LAST_MAPS if last in parts]
        if any(_own_grid(part) is not None for part in encoder.modules()):
            last_maps = [parts[part] for part in parts if part.endswith((".norm1", ".ln_1"))][-1:]
        found = last_maps[0] if last_maps else None
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


@dataclass(frozen=True)
class Network:
    """One network over classes or texts.

    Attributes:
        kind: `classifier` or `prompts`. layer: target layer. names: of the C scores.
        module: pixels (B, 3, H, W) to scores (B, C); probabilities are the softmax of
            scores / temperature. Its `encoder` is the image encoder.
        batch: images of a forward pass.
    """

    kind: str
    module: Any
    layer: nn.Module
    preprocessing: ImageTransform
    names: tuple[str, ...]
    temperature: float = 1.0
    batch: int = 32

    @property
    def head(self) -> list[torch.Tensor]:
        """Weights above the image encoder."""
        if self.kind == PROMPTS:
            projection = getattr(self.module.clip.visual, "head", nn.Module())
            return [*projection.parameters(), self.module.text_emb]
        buffers = self.module.head.named_buffers()
        weights = [b for name, b in buffers if name.endswith((".weight", ".bias"))]
        return [weight for weight in weights if weight.numel() > 1]

    @property
    def stages(self) -> list[list[nn.Parameter]]:
        """Weights of the image encoder by stage, the first one first."""
        model = self.module.clip if self.kind == PROMPTS else self.module.encoder
        return timm_stages(model) if hasattr(model, "group_matcher") else image_blocks(model)

    def pixels(self, image: Any) -> torch.Tensor:
        """Preprocessed image (3, H, W)."""
        return torch.from_numpy(self.preprocessing.to_array(image))

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
        with self.layer.register_forward_hook(lambda _, __, out: shapes.append(out.shape)):
            self.probabilities(pixels[None])
        return int(shapes[0][-2]), int(shapes[0][-1])


def classifier_network(predictor: Any, layer: str, module: Any = None) -> Network:
    """The classifier of a `Predictor`, at a layer of its first image encoder.

    Args: module: of the predictor, where it is built already.
    Raises: UserFacingError: the encoder has no such layer.
    """
    module = predictor.module() if module is None else module
    target, names = find_layer(module.encoder, layer), tuple(predictor.classes)
    return Network(
        CLASSIFIER, module, target, predictor.preprocessing, names, predictor.temperature
    )


def prompt_network(clip: Any, names: Sequence[str], text_emb: np.ndarray, layer: str) -> Network:
    """CLIP with unit-norm text embeddings (P, E) as the rows of a linear classifier.

    Args: clip: a `LoadedClip`. names: of the P scores.
    Raises: UserFacingError: the image encoder has no such layer.
    """
    module = TextTarget(clip.model, torch.from_numpy(text_emb))
    target = find_layer(module.encoder, layer)
    return Network(PROMPTS, module, target, clip.preprocessing, tuple(names))


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
        networks = []
        for kind in self.kinds:
            if kind == CLASSIFIER:
                network = classifier_network(self.predictor, self.layer)
            else:
                assert self.prompt_emb is not None
                clip, labels = load_clip(self.clip), self.predictor.classes
                network = prompt_network(clip, labels, self.prompt_emb, self.layer)
            network.module.to(memory_format=torch.channels_last).eval()
            networks.append(replace(network, batch=self.batch))
        return networks

    def identity(self) -> str:
        """Fingerprint of their weights and prompts."""
        files = sorted(self.clip.glob("*.safetensors")) if PROMPTS in self.kinds else []
        digests = [file_sha256(file) for file in files]
        inputs = predictor_fingerprint(self.predictor), self.prompts, self.layer, digests
        return fingerprint(self.kinds, *inputs)


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
