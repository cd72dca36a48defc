"""Captions: cleaning, and tokens by the text tower's own tokenizer."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

_SPACES = re.compile(r"\s+")


def clean_caption(text: str) -> str:
    r"""One line, HTML entities resolved (twice: many are escaped twice), no double spaces.

    >>> clean_caption("A dog &amp;amp; a   cat \n run .")
    'A dog & a cat run .'

    Source: open_clip.tokenizer, `basic_clean` and `whitespace_clean` without ftfy.
    """
    return _SPACES.sub(" ", html.unescape(html.unescape(text))).strip()


@dataclass(frozen=True)
class Tokens:
    """Token ids of several texts, without padding.

    Attributes:
        ids: one int32 array a text, special tokens included, at most the context length.
        truncated: (M,) bool; texts that were cut.
    """

    ids: list[np.ndarray]
    truncated: np.ndarray


class CaptionTokenizer:
    """The tokenizer of a text tower, read from its `tokenizer.json`."""

    def __init__(self, path: Path, context_length: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.context_length = context_length

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Tokens of cleaned texts; a text that is too long keeps its end-of-text token."""
        encoded = self._tokenizer.encode_batch([clean_caption(text) for text in texts])
        limit = self.context_length
        ids = [np.asarray(e.ids, dtype=np.int32) for e in encoded]
        truncated = np.array([len(row) > limit for row in ids], dtype=bool)
        cut = [np.append(row[: limit - 1], row[-1]) if len(row) > limit else row for row in ids]
        return Tokens([row.astype(np.int32) for row in cut], truncated)


def pad(ids: Sequence[np.ndarray], padding: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of token ids as one block.

    Args:
        padding: the id behind shorter rows; towers that are given the mask do not care.
    Returns: ids (B, T) int64, and the mask (B, T) int64 of real tokens, where T is
        the longest row.
    """
    longest = max(len(row) for row in ids)
    block = np.full((len(ids), longest), padding, dtype=np.int64)  # (B, T)
    mask = np.zeros_like(block)
    for i, row in enumerate(ids):
        block[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return block, mask
