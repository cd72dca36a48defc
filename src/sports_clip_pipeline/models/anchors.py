"""One text embedding a class, ensembled over its prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from sports_clip_pipeline.data.classes import ClassBank
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.models.backends import TowerProgram, build_backend
from sports_clip_pipeline.models.tokenizers import caption_tokenizer
from sports_clip_pipeline.models.unit_norm import unit_norm
from sports_clip_pipeline.pipelines.tokenize.config import TokenizeConfig
from sports_clip_pipeline.preprocessing.captions import pad


def encode_prompts(
    bank: ClassBank, text_encoder: str, tokenize: TokenizeConfig, clip_folder: Path | None = None
) -> dict[str, np.ndarray]:
    """Text features (E,) before projection of every prompt of the bank, by its text.

    Args:
        clip_folder: whose text tower reads the prompts where it was trained.
    """
    texts = prompt_texts(bank)
    return dict(zip(texts, encode_texts(texts, text_encoder, tokenize, clip_folder), strict=True))


def prompt_texts(bank: ClassBank) -> list[str]:
    """Every prompt of the bank, each once."""
    texts = (
        text
        for label in bank.labels
        for kind in ("names", "sentences")
        for text in _texts(bank, label, kind)
    )
    return list(dict.fromkeys(texts))


def class_anchors(
    bank: ClassBank,
    prompts: str,
    features: Mapping[str, np.ndarray],
    embed: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Anchors (C, P) float32 unit-norm in the order of the bank.

    Each prompt is embedded; the prompts of a kind (names in templates, sentences) are averaged and
    normalised; so are the kinds.

    Args:
        prompts: `names`, `sentences` or `both`. A class without sentences uses its names alone.
        features: of all prompts, from `encode_prompts`.
        embed: text features (M, E) to unit-norm rows (M, P).
    Source: Radford et al. 2021, section 3.1.4 (prompt ensembling in the embedding space).
    """
    kinds = ("names", "sentences") if prompts == "both" else (prompts,)
    anchors = []
    for label in bank.labels:
        texts = [_texts(bank, label, kind) for kind in kinds]
        groups = [group for group in texts if group] or [_texts(bank, label, "names")]
        embedded = [embed(np.stack([features[text] for text in group])) for group in groups]
        means = [unit_norm(group.mean(axis=0)) for group in embedded]
        anchors.append(unit_norm(np.mean(means, axis=0)))
    return np.stack(anchors).astype(np.float32)


def _texts(bank: ClassBank, label: str, kind: str) -> Sequence[str]:
    if kind == "sentences":
        return bank.sentences(label)
    return [template.format(name) for name in bank.names(label) for template in bank.templates]


def encode_texts(
    texts: Sequence[str], text_encoder: str, tokenize: TokenizeConfig, clip_folder: Path | None
) -> np.ndarray:
    """Text features (M, E) float32 before projection.

    Args:
        clip_folder: whose text tower reads them where it was trained.
    """
    return text_reader(text_encoder, tokenize, clip_folder)(texts)


def text_reader(
    text_encoder: str, tokenize: TokenizeConfig, clip_folder: Path | None
) -> Callable[[Sequence[str]], np.ndarray]:
    """`encode_texts` with the tower built once, for whoever reads again and again."""
    tokenizer = caption_tokenizer(text_encoder, tokenize.context_length)
    program = TowerProgram("text", text_encoder, Path(), clip_folder=clip_folder)
    backend = build_backend(program, "torch", cores())

    def read(texts: Sequence[str]) -> np.ndarray:
        ids = tokenizer(texts).ids
        blocks = [ids[i : i + 64] for i in range(0, len(ids), 64)]
        return np.concatenate([backend(*pad(block))[0] for block in blocks])

    return read
