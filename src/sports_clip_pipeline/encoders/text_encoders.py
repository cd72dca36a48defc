"""Text encoders by name (packaged or any Hugging Face model), and their tokenizers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import nn

from sports_clip_pipeline.data.captions import CaptionTokenizer, Tokens
from sports_clip_pipeline.encoders.weights import (
    PACKAGED,
    EncoderWeights,
    HubFile,
    LocalFile,
    PackagedFile,
    RandomWeights,
    is_pair,
    load_every_key,
    seeded,
)
from sports_clip_pipeline.errors import UserFacingError

TEXT_ENCODERS = {n: PackagedFile(**entry["file"]) for n, entry in PACKAGED["text"].items()}
_MODEL_FILES = ("config.json", "tokenizer.json")
# Architectures with an optional pooler on the first token, which is left out.
_WITH_POOLER = ("bert", "roberta", "xlm-roberta", "mpnet", "camembert")


class TextEncoderSpec(NamedTuple):
    """A text encoder: source and digest of its weights, and columns of its pooled features.

    `folder` has the Hugging Face model's `config.json` and `tokenizer.json`; unused for a pair.
    """

    folder: Path
    weights: EncoderWeights
    width: int
    digest: str


def caption_tokenizer(text_encoder: str, context_length: int) -> Callable[[Sequence[str]], Tokens]:
    """The encoder's tokenizer: texts to token ids.

    Raises: UserFacingError: unknown encoder, or one with another context length.
    """
    if not is_pair(text_encoder):
        path = text_encoder_spec(text_encoder).folder / "tokenizer.json"
        return CaptionTokenizer(path, context_length)
    from sports_clip_pipeline.encoders.open_clip_pairs import PairTokenizer, pair_spec

    spec = pair_spec(text_encoder)
    if context_length != spec.context_length:
        what = f"{text_encoder} reads {spec.context_length} tokens, got {context_length}"
        remedy = f"set tokenize.context_length={spec.context_length}"
        raise UserFacingError("parameter tokenize.context_length", what, remedy)
    return PairTokenizer(spec)


class PooledTextEncoder(nn.Module):
    """Token ids to the mean of the last hidden states over unmasked tokens."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, T) int64 ids and mask to (B, E)."""
        hidden = self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, E)
        weights = mask.unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)  # (B, E)


def load_text_encoder(name: str) -> nn.Module:
    """The transformer of a text encoder with its weights, in eval mode. Raises: UserFacingError."""
    if is_pair(name):
        from sports_clip_pipeline.encoders.open_clip_pairs import PairText, pair_spec

        return PairText(pair_spec(name).load_pair()).eval()
    spec = text_encoder_spec(name)
    model = build_text_encoder(spec.folder)
    path = spec.weights.checked()
    if path is not None:
        load_every_key(model, _transformer_state(load_file(path), model), path)
    return model.eval()


def build_text_encoder(folder: Path) -> nn.Module:
    """The transformer of the `config.json` in a folder, with seeded random weights."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    pooler = {"add_pooling_layer": False} if config.model_type in _WITH_POOLER else {}
    model: nn.Module = seeded(AutoModel.from_config, config, attn_implementation="eager", **pooler)
    return model.eval()


def _transformer_state(state: dict[str, torch.Tensor], model: Any) -> dict[str, torch.Tensor]:
    """Entries of a Hugging Face file that belong to the bare transformer, under its names."""
    prefix = f"{model.base_model_prefix}."
    if any(key.startswith(prefix) for key in state):
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    # Converted TensorFlow checkpoints name scale and shift of a layer norm gamma and beta.
    old_names = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))
    for old, new in old_names:
        state = {key.replace(old, new): value for key, value in state.items()}
    own, unused = model.state_dict(), ("pooler.", "embeddings.position_ids")
    return {k: v for k, v in state.items() if k in own or not k.startswith(unused)}


def text_encoder_spec(name: str) -> TextEncoderSpec:
    """The record of a text encoder. Raises: UserFacingError: unknown name, or a file is missing."""
    if name in TEXT_ENCODERS:
        file = TEXT_ENCODERS[name]
        return _in_folder(file.path.parent, file)
    if is_pair(name):
        from sports_clip_pipeline.encoders.open_clip_pairs import pair_spec

        pair = pair_spec(name)
        return TextEncoderSpec(Path(), pair.weights, pair.width, pair.digest)
    kind, _, rest = name.partition("/")
    model, _, source = rest.partition("@")
    if kind != "hf" or not model:
        remedy = f"use one of {', '.join(TEXT_ENCODERS)}, or hf/<folder or name on the hub>"
        raise UserFacingError(f"text encoder {name!r}", "is not known", remedy)
    folder = Path(model)
    weights: EncoderWeights = LocalFile(folder / "model.safetensors")
    if not folder.is_dir():
        config_path, _ = (HubFile(model, member).checked() for member in _MODEL_FILES)
        folder = config_path.parent
        weights = HubFile(model, "model.safetensors")
    for member in _MODEL_FILES:
        if not (folder / member).is_file():
            raise UserFacingError(folder / member, "is missing", "save model and tokenizer there")
    if source == "random":
        weights = RandomWeights()
    return _in_folder(folder, weights)


def _in_folder(folder: Path, weights: EncoderWeights) -> TextEncoderSpec:
    text = (folder / "config.json").read_text()
    config = json.loads(text)
    width = int(config.get("hidden_size") or config["dim"])  # DistilBERT's name is dim
    return TextEncoderSpec(folder, weights, width, weights.digest(text))
