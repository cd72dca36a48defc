"""Tiny encoders with random weights, as timm files and Hugging Face folders."""

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

ARCHITECTURE = "test_resnet"
WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *["a", "dog", "man", "runs", "swims", "ball", "in", "red"],
)


def write_image_encoder(path: Path, seed: int = 1) -> Path:
    """A file with weights of `ARCHITECTURE`, including its classifier."""
    torch.manual_seed(seed)
    save_file(timm.create_model(ARCHITECTURE).state_dict(), path)
    return path


def write_text_encoder(folder: Path, kind: str = "distilbert", prefix: str = "") -> Path:
    """A folder with two layers of a transformer and a tokenizer of a dozen words.

    Args:
        prefix: of the names of the weights, as saved with another head.
    """
    torch.manual_seed(2)
    model = _transformer(kind)
    model.config.save_pretrained(folder)
    weights = {f"{prefix}{name}": value for name, value in model.state_dict().items()}
    save_file(
        {name: value.contiguous() for name, value in weights.items()}, folder / "model.safetensors"
    )
    ids = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    ends = [("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}'
    )
    return folder


def _transformer(kind: str) -> Any:
    from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

    if kind == "bert":
        bert = BertConfig(
            vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=64,
        )  # fmt: skip
        return BertModel(bert)
    distil = DistilBertConfig(
        vocab_size=len(WORDS), dim=16, n_layers=2, n_heads=2, hidden_dim=32,
        max_position_embeddings=64,
    )  # fmt: skip
    return DistilBertModel(distil)
