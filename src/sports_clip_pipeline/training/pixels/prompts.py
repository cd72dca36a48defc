"""The classes' prompts as features of the text tower, before any projection."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sports_clip_pipeline.data.classes import ClassBank
from sports_clip_pipeline.journal import file_sha256
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.models.backends import TowerProgram, build_backend
from sports_clip_pipeline.models.clip_folder import WEIGHTS, trained_towers
from sports_clip_pipeline.models.tokenizers import caption_tokenizer
from sports_clip_pipeline.preprocessing.captions import pad

_BLOCK = 64


@dataclass(frozen=True)
class ClassPrompts:
    """What is said of each class.

    Attributes:
        texts: M prompts.
        owner: (M,) int64 in [0, C); the class of each.
        text_encoder: the tower that reads them.
        context_length: tokens a prompt may have.
        text_weight: (P, E) projection of its pooled features, as pretrained.
        clip_folder: the CLIP folder whose text tower reads them where it was trained; None for
            the packaged one.
    """

    texts: tuple[str, ...]
    owner: np.ndarray
    text_encoder: str
    context_length: int
    text_weight: np.ndarray
    clip_folder: Path | None = None

    @property
    def reader_mark(self) -> str:
        """What the trained text tower is known by; empty for the packaged one."""
        if self.clip_folder is None or "text" not in trained_towers(self.clip_folder):
            return ""
        return file_sha256(self.clip_folder / WEIGHTS)

    @cached_property
    def features(self) -> np.ndarray:
        """(M, E) float32 pooled text features; computed when first asked for."""
        ids = caption_tokenizer(self.text_encoder, self.context_length)(list(self.texts)).ids
        program = TowerProgram("text", self.text_encoder, Path(), clip_folder=self.clip_folder)
        backend = build_backend(program, "torch", cores())
        blocks = [ids[i : i + _BLOCK] for i in range(0, len(ids), _BLOCK)]
        return np.concatenate([backend(*pad(block))[0] for block in blocks])


def prompts_of(
    bank: ClassBank,
    text_encoder: str,
    context_length: int,
    text_weight: np.ndarray,
    clip_folder: Path | None = None,
) -> ClassPrompts:
    """Every template with every name, and the sentences, of every class."""
    texts = [(text, c) for c, label in enumerate(bank.labels) for text in bank.prompts(label)]
    owner = np.array([c for _, c in texts], dtype=np.int64)
    found = tuple(text for text, _ in texts)
    return ClassPrompts(found, owner, text_encoder, context_length, text_weight, clip_folder)
