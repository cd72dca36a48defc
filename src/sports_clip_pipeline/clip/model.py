"""The CLIP model: open_clip's `CustomTextCLIP` over any image and text encoder, and its parts."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import torch
from timm.models import group_parameters
from torch import nn
from transformers import AutoConfig

from sports_clip_pipeline.clip.projections import Projections, build_head, state_of
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders import image_encoders, text_encoders
from sports_clip_pipeline.encoders.open_clip_pairs import build_pair, load_pair, pair_spec
from sports_clip_pipeline.encoders.text_encoders import PooledTextEncoder, build_text_encoder
from sports_clip_pipeline.encoders.weights import is_pair

Block = list[nn.Parameter]


def image_encoder(model: Any) -> nn.Module:
    """The image encoder without a projection of ours."""
    tower: nn.Module = getattr(model.visual, "trunk", model.visual)
    return tower


def text_encoder(model: Any) -> nn.Module:
    """The text encoder without a projection of ours."""
    tower: nn.Module = model.text.transformer if _projects(model) else model.text
    return tower


def project_images(model: Any, features: torch.Tensor) -> torch.Tensor:
    """Pooled image features (B, D) to the shared space (B, P), before unit norm."""
    projected: torch.Tensor = model.visual.head(features) if _projects(model) else features
    return projected


def project_texts(model: Any, features: torch.Tensor) -> torch.Tensor:
    """Pooled text features (B, E) to the shared space (B, P), before unit norm."""
    projected: torch.Tensor = model.text.proj(features) if _projects(model) else features
    return projected


def ends(model: Any, image: bool, text: bool, biased: bool) -> Block:
    """What learns wherever something does: projections, the scale, the bias of a biased loss.

    A pair of open_clip's own has its projections inside its encoders; those of a locked one stay.

    Args:
        image, text: whether any of that encoder learns.
    """
    if _projects(model):
        parts = [model.visual.head, model.text.proj]
    else:
        seeing, reading = ("head" if hasattr(model.visual, "trunk") else "proj"), "text_projection"
        parts = [getattr(model.visual, seeing, None)] if image else []
        parts += [getattr(model.text, reading, None)] if text else []
    own = [p for part in parts if part is not None for p in _parameters(part)]
    return [*own, model.logit_scale, *([model.logit_bias] if biased else [])]


def image_blocks(model: Any) -> list[Block]:
    """The parameters of each block of the image encoder, the stem first.

    Blocks are timm's stages, the residual blocks of a vision transformer, or the stages of CLIP's
    ResNet; what follows the last block belongs to it.
    """
    tower: Any = image_encoder(model)
    if hasattr(tower, "group_matcher"):
        return timm_stages(tower)
    if hasattr(tower, "transformer"):
        return _split(tower, tower.transformer.resblocks)
    return _split(tower, [tower.layer1, tower.layer2, tower.layer3, tower.layer4])


def text_blocks(model: Any) -> list[Block]:
    """The parameters of each layer of the text encoder; its embeddings are none of them."""
    if _projects(model):
        return [list(layer.parameters()) for layer in transformer_layers(model.text.transformer)]
    return _split(model.text, model.text.transformer.resblocks)[1:]


def timm_stages(trunk: Any) -> list[Block]:
    """The parameters of each stage of a timm model, the stem first."""
    groups = group_parameters(trunk, trunk.group_matcher(coarse=True), return_values=False)
    return [[trunk.get_parameter(name) for name in groups[number]] for number in sorted(groups)]


def transformer_layers(transformer: Any) -> list[nn.Module]:
    """The layers of a Hugging Face transformer, the first one first."""
    inner = getattr(transformer, "encoder", None) or transformer.transformer  # DistilBERT's name
    return list(inner.layer)


def _projects(model: Any) -> bool:
    """Whether projections of ours stand on the encoders."""
    return hasattr(model.text, "proj")


def _split(tower: nn.Module, blocks: Any) -> list[Block]:
    """The parameters before the blocks, of each block, and with the last one those after it."""
    inside = [list(block.parameters()) for block in blocks]
    known = {id(parameter) for block in inside for parameter in block}
    before, after, passed = [], [], False
    for parameter in tower.parameters():
        if id(parameter) in known:
            passed = True
        elif passed:
            after.append(parameter)
        else:
            before.append(parameter)
    return [before, *inside[:-1], [*inside[-1], *after]]


def _parameters(part: Any) -> Block:
    return [part] if isinstance(part, nn.Parameter) else list(part.parameters())


IMAGE_PREFIX = "visual.trunk."
TEXT_PREFIX = "text.transformer."
# The transformers that open_clip's own text side can hold.
_KNOWN_TO_OPEN_CLIP = ("bert", "roberta", "xlm-roberta")
_NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}


class TransformerText(PooledTextEncoder):
    """The text side of `CustomTextCLIP` for transformers that open_clip's table lacks."""

    def __init__(self, folder: Path, embed_dim: int) -> None:
        super().__init__(build_text_encoder(folder))
        self.config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
        self.context_length = int(self.config.max_position_embeddings)
        self.vocab_size = int(self.config.vocab_size)
        self.proj = nn.Linear(self.config.hidden_size, embed_dim, bias=False)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(B, T) int64 ids, padded as the model's configuration says, to (B, P)."""
        real = (ids != (self.config.pad_token_id or 0)).long() if mask is None else mask
        projected: torch.Tensor = self.proj(super().forward(ids, real))
        return projected


def clip_config(
    projections: Projections,
    image_encoder: str,
    text_encoder: str,
    preprocessing: ImageTransform,
    context_length: int,
    folder: Path,
) -> dict[str, Any]:
    """What `open_clip_config.json` says of a model whose folder stands at `folder`."""
    place = str(folder.resolve())
    bias = {} if projections.logit_bias is None else {"init_logit_bias": projections.logit_bias}
    named = {"image": image_encoder, "text": text_encoder, "view": preprocessing.view}
    seen = _preprocess_config(preprocessing)
    if is_pair(image_encoder):
        pair = {**pair_spec(image_encoder).model_config, **bias, "custom_text": True}
        towers = {**named, "projections": "none"}
        return {"model_cfg": pair, "preprocess_cfg": seen, "towers": towers}
    return {
        "model_cfg": {
            **bias,
            "embed_dim": len(projections.image_weight),
            "vision_cfg": {
                "timm_model_name": image_encoders.timm_encoder(image_encoder).architecture,
                "timm_model_pretrained": False,
                "timm_pool": "",
                "timm_proj": "linear",
                "timm_proj_bias": True,
                "image_size": preprocessing.size,
            },
            "text_cfg": {
                "hf_model_name": place,
                "hf_tokenizer_name": place,
                "hf_model_pretrained": False,
                "hf_proj_type": "linear",
                "hf_pooler_type": "mean_pooler",
                "context_length": context_length,
            },
            "custom_text": True,
        },
        "preprocess_cfg": seen,
        "towers": {**named, "projections": "linear" if projections.linear else "notebook"},
    }


def _preprocess_config(preprocessing: ImageTransform) -> dict[str, Any]:
    return {
        "size": [preprocessing.size, preprocessing.size],
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "interpolation": preprocessing.interpolation,
        "resize_mode": "shortest" if preprocessing.view.startswith("centre") else "squash",
    }


def build_clip(
    projections: Projections,
    image_encoder: str,
    text_encoder: str,
    preprocessing: ImageTransform,
    context_length: int,
) -> nn.Module:
    """The `CustomTextCLIP` of the encoders' own weights and learned projections, in eval mode."""
    if is_pair(image_encoder):
        return _with_scale(load_pair(image_encoder), projections)
    source = text_encoders.text_encoder_spec(text_encoder).folder
    config = clip_config(
        projections, image_encoder, text_encoder, preprocessing, context_length, source
    )
    model = build_empty_clip(config, source)
    trunk = image_encoders.load_image_encoder(image_encoder).state_dict()
    transformer = text_encoders.load_text_encoder(text_encoder).state_dict()
    state = {f"{TEXT_PREFIX}{key}": value for key, value in transformer.items()}
    state |= {name: torch.as_tensor(value) for name, value in state_of(projections).items()}
    named = {f"{IMAGE_PREFIX}{key}": value for key, value in trunk.items()}
    # The model has no use for the encoder's own classifier.
    own = model.state_dict().keys()
    state |= {name: value for name, value in named.items() if name in own}
    model.load_state_dict(state, strict=True)
    return model.eval()


def _with_scale(model: Any, projections: Projections) -> nn.Module:
    """A pair with the scale, and the bias, of projections that are none."""
    with torch.no_grad():
        model.logit_scale.fill_(projections.logit_scale)
        if projections.logit_bias is not None:
            model.logit_bias = nn.Parameter(torch.tensor(projections.logit_bias))
    pair: nn.Module = model.eval()
    return pair


def encoder_prefixes(pair: bool) -> tuple[str, str]:
    """What the names of the image and of the text encoder's weights begin with in the model."""
    return ("visual.", "text.") if pair else (IMAGE_PREFIX, TEXT_PREFIX)


def build_empty_clip(config: dict[str, Any], folder: Path) -> nn.Module:
    """The model that a configuration describes, its weights still to be loaded.

    Args:
        folder: with the text encoder's `config.json` and tokenizer.
    """
    if config["towers"].get("projections") == "none":
        return build_pair(config["model_cfg"])
    model_config = deepcopy(config["model_cfg"])
    model_config.pop("custom_text")
    kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    if kind in _KNOWN_TO_OPEN_CLIP:
        model_config["text_cfg"]["hf_model_name"] = str(folder)
        model_config["text_cfg"]["hf_tokenizer_name"] = str(folder)
        model: Any = open_clip.CustomTextCLIP(**model_config)
    else:
        model = open_clip.CustomTextCLIP(**{**model_config, "text_cfg": _NO_TEXT})
        model.text = TransformerText(folder, model_config["embed_dim"])
    if config["towers"].get("projections", "linear") == "notebook":
        space = model_config["embed_dim"]
        model.visual.head = build_head("notebook", model.visual.head.proj.in_features, space, True)
        model.text.proj = build_head("notebook", model.text.proj.in_features, space, True)
    assert isinstance(model, nn.Module)
    return model
