"""One text embedding a class, ensembled over its prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sports_clip_pipeline.config.classes import ClassBank
from sports_clip_pipeline.config.tokenize import TokenizeConfig
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.models.backends import TowerProgram, build_backend
from sports_clip_pipeline.models.clip_folder import Projections
from sports_clip_pipeline.models.tokenizers import caption_tokenizer
from sports_clip_pipeline.models.unit_norm import unit_norm
from sports_clip_pipeline.preprocessing.captions import pad


def class_anchors(
    bank: ClassBank,
    prompts: str,
    projections: Projections,
    text_tower: str,
    tokenize: TokenizeConfig,
    clip_folder: Path | None = None,
) -> dict[str, np.ndarray]:
    """Anchors (C, P) float32 unit-norm in the order of the bank, and `logit_scale` (1,).

    Each prompt is embedded and normalised; the prompts of a kind (names in templates, sentences)
    are averaged and normalised; so are the kinds.

    Args:
        prompts: `names`, `sentences` or `both`. A class without sentences uses its names alone.
        clip_folder: whose text tower reads the prompts where it was trained.
    Source: Radford et al. 2021, section 3.1.4 (prompt ensembling in the embedding space).
    """
    kinds = ("names", "sentences") if prompts == "both" else (prompts,)
    groups: list[list[Sequence[str]]] = []
    for label in bank.labels:
        texts = [_texts(bank, label, kind) for kind in kinds]
        groups.append([group for group in texts if group] or [_texts(bank, label, "names")])
    flat = [text for texts in groups for group in texts for text in group]
    embedded = iter(projections.text_embeddings(_encode(flat, text_tower, tokenize, clip_folder)))
    anchors = []
    for texts in groups:
        means = [unit_norm(np.mean([next(embedded) for _ in group], axis=0)) for group in texts]
        anchors.append(unit_norm(np.mean(means, axis=0)))
    return {
        "anchors": np.stack(anchors).astype(np.float32),
        "logit_scale": np.array([np.exp(projections.logit_scale)], dtype=np.float32),
    }


def _texts(bank: ClassBank, label: str, kind: str) -> Sequence[str]:
    if kind == "sentences":
        return bank.sentences(label)
    return [template.format(name) for name in bank.names(label) for template in bank.templates]


def _encode(
    texts: Sequence[str], text_tower: str, tokenize: TokenizeConfig, clip_folder: Path | None
) -> np.ndarray:
    ids = caption_tokenizer(text_tower, tokenize.context_length)(texts).ids
    backend = build_backend(
        TowerProgram("text", text_tower, Path(), clip_folder=clip_folder), "torch", cores()
    )
    blocks = [ids[i : i + 64] for i in range(0, len(ids), 64)]
    return np.concatenate([backend(*pad(block))[0] for block in blocks])
