"""The CLIP model: open_clip's `CustomTextCLIP` over any image and text encoder, and its parts."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import torch
from timm.models import group_parameters
from torch import nn
from transformers import AutoConfig

from sports_clip_pipeline.clip.projections import NotebookHead, Projections, state_of
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders import image_encoders, text_encoders
from sports_clip_pipeline.encoders.open_clip_pairs import build_pair, pair_spec
from sports_clip_pipeline.encoders.text_encoders import PooledTextEncoder, build_text_encoder
from sports_clip_pipeline.encoders.weights import is_pair

Block = list[nn.Parameter]


def _has_projections(model: Any) -> bool:
    """Whether the model has projection heads; pairs have them inside the encoders."""
    return hasattr(model.text, "proj")


def image_encoder(model: Any) -> nn.Module:
    """The image encoder without the projection head."""
    return getattr(model.visual, "trunk", model.visual)


def text_encoder(model: Any) -> nn.Module:
    """The text encoder without the projection head."""
    return model.text.transformer if _has_projections(model) else model.text


def projection_heads(model: Any) -> tuple[nn.Module, nn.Module]:
    """From pooled image features (B, D) and text features (B, E) to the shared space (B, P).

    Pairs have them inside the encoders: identities.
    """
    if _has_projections(model):
        return model.visual.head, model.text.proj
    return nn.Identity(), nn.Identity()


def projection_parameters(model: Any, image: bool, text: bool, biased: bool) -> Block:
    """Parameters of the projections, the logit scale, and the logit bias of a biased loss.

    Args:
        image, text: whether that encoder is trained; a pair's projection is locked otherwise.
    """
    if _has_projections(model):
        parts: list[Any] = [*projection_heads(model)]
    else:
        name = "head" if hasattr(model.visual, "trunk") else "proj"
        parts = [getattr(model.visual, name, None)] if image else []
        parts += [getattr(model.text, "text_projection", None)] if text else []
    own: Block = []
    for part in parts:
        if part is not None:
            own += [part] if isinstance(part, nn.Parameter) else part.parameters()
    return [*own, model.logit_scale, *([model.logit_bias] if biased else [])]


def image_blocks(model: Any) -> list[Block]:
    """The parameters of each stage or transformer block of the image encoder, the stem first.

    What follows the last block belongs to it.
    """
    encoder: Any = image_encoder(model)
    if hasattr(encoder, "group_matcher"):
        return timm_stages(encoder)
    if hasattr(encoder, "transformer"):
        return _split(encoder, encoder.transformer.resblocks)
    return _split(encoder, [encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4])


def text_blocks(model: Any) -> list[Block]:
    """The parameters of each layer of the text encoder, without its embeddings."""
    if not _has_projections(model):
        return _split(model.text, model.text.transformer.resblocks)[1:]
    transformer = model.text.transformer
    inner = getattr(transformer, "encoder", None) or transformer.transformer  # DistilBERT's name
    return [list(layer.parameters()) for layer in inner.layer]


def timm_stages(trunk: Any) -> list[Block]:
    """The parameters of each stage of a timm model, the stem first."""
    groups = group_parameters(trunk, trunk.group_matcher(coarse=True), return_values=False)
    return [[trunk.get_parameter(name) for name in groups[number]] for number in sorted(groups)]


def _split(encoder: nn.Module, blocks: Any) -> list[Block]:
    """The parameters before the blocks, of each block, and with the last one those after it."""
    numbers = {id(p): number for number, block in enumerate(blocks, 1) for p in block.parameters()}
    groups: list[Block] = [[] for _ in range(len(blocks) + 1)]
    number = 0
    for parameter in encoder.parameters():
        number = numbers.get(id(parameter), len(blocks) if number else 0)
        groups[number].append(parameter)
    return groups


IMAGE_PREFIX = "visual.trunk."
TEXT_PREFIX = "text.transformer."
# Transformers that open_clip's `HFTextEncoder` supports.
_OPEN_CLIP_TYPES = ("bert", "roberta", "xlm-roberta")
_NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}


class TransformerText(PooledTextEncoder):
    """The text side of `CustomTextCLIP` for transformers that open_clip does not support."""

    def __init__(self, folder: Path, embed_dim: int) -> None:
        super().__init__(build_text_encoder(folder))
        self.config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
        self.proj = nn.Linear(self.config.hidden_size, embed_dim, bias=False)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(B, T) int64 ids, padded with the model's padding id, to (B, P)."""
        real = (ids != (self.config.pad_token_id or 0)).long() if mask is None else mask
        return self.proj(super().forward(ids, real))


def clip_config(
    projections: Projections,
    image_encoder: str,
    text_encoder: str,
    preprocessing: ImageTransform,
    context_length: int,
    folder: Path,
) -> dict[str, Any]:
    """Content of `open_clip_config.json` of a model in `folder`."""
    path = str(folder.resolve())
    bias = {} if projections.logit_bias is None else {"init_logit_bias": projections.logit_bias}
    if is_pair(image_encoder):
        model = {**pair_spec(image_encoder).model_config, **bias, "custom_text": True}
        kind = "none"
    else:
        model = {
            **bias,
            "embed_dim": len(projections.image_weight),
            "vision_cfg": {
                "timm_model_name": image_encoders.image_encoder(image_encoder).architecture,
                "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear",
                "timm_proj_bias": True, "image_size": preprocessing.size,
            },
            "text_cfg": {
                "hf_model_name": path, "hf_tokenizer_name": path, "hf_model_pretrained": False,
                "hf_proj_type": "linear", "hf_pooler_type": "mean_pooler",
                "context_length": context_length,
            },
            "custom_text": True,
        }  # fmt: skip
        kind = "linear" if projections.linear else "notebook"
    view = preprocessing.view
    return {
        "model_cfg": model,
        "preprocess_cfg": {
            "size": [preprocessing.size, preprocessing.size],
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "interpolation": preprocessing.interpolation,
            "resize_mode": "shortest" if view.startswith("centre") else "squash",
        },
        "encoders": {
            "image": image_encoder, "text": text_encoder, "view": view, "projections": kind
        },
    }  # fmt: skip


def build_clip(
    projections: Projections,
    image_encoder: str,
    text_encoder: str,
    preprocessing: ImageTransform,
    context_length: int,
) -> nn.Module:
    """The `CustomTextCLIP` of the encoders' original weights and projections, in eval mode."""
    if is_pair(image_encoder):
        pair: Any = pair_spec(image_encoder).load_pair()
        with torch.no_grad():
            pair.logit_scale.fill_(projections.logit_scale)
            if projections.logit_bias is not None:
                pair.logit_bias = nn.Parameter(torch.tensor(projections.logit_bias))
        return pair
    source = text_encoders.text_encoder_spec(text_encoder).folder
    encoders = image_encoder, text_encoder, preprocessing, context_length
    model = build_empty_clip(clip_config(projections, *encoders, source), source)
    trunk = image_encoders.load_image_encoder(image_encoder).state_dict()
    transformer = text_encoders.load_text_encoder(text_encoder).state_dict()
    state = {f"{TEXT_PREFIX}{key}": value for key, value in transformer.items()}
    state |= {name: torch.as_tensor(value) for name, value in state_of(projections).items()}
    # The model lacks the image encoder's own classifier.
    names = [name for name in model.state_dict() if name.startswith(IMAGE_PREFIX)]
    state |= {name: trunk[name.removeprefix(IMAGE_PREFIX)] for name in names}
    model.load_state_dict(state, strict=True)
    return model.eval()


def encoder_prefixes(pair: bool) -> tuple[str, str]:
    """Prefixes of the names of the image and of the text encoder's weights in the model."""
    return ("visual.", "text.") if pair else (IMAGE_PREFIX, TEXT_PREFIX)


def build_empty_clip(config: dict[str, Any], folder: Path) -> nn.Module:
    """The model of a configuration, without its weights; `folder` has its text encoder's files."""
    if config["encoders"].get("projections") == "none":
        return build_pair(config["model_cfg"])
    model_config = deepcopy(config["model_cfg"])
    model_config.pop("custom_text")
    space = model_config["embed_dim"]
    kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    if kind in _OPEN_CLIP_TYPES:
        model_config["text_cfg"]["hf_model_name"] = str(folder)
        model_config["text_cfg"]["hf_tokenizer_name"] = str(folder)
        model: Any = open_clip.CustomTextCLIP(**model_config)
    else:
        model = open_clip.CustomTextCLIP(**{**model_config, "text_cfg": _NO_TEXT})
        model.text = TransformerText(folder, space)
    if config["encoders"].get("projections", "linear") == "notebook":
        model.visual.head = NotebookHead(model.visual.head.proj.in_features, space)
        model.text.proj = NotebookHead(model.text.proj.in_features, space)
    assert isinstance(model, nn.Module)
    return model
