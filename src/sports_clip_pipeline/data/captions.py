"""Caption cleaning and tokenization; the table of captions, five for each image."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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


_AT_ONCE = 4096


def caption_table(
    manifest: pd.DataFrame, tokenizer: Callable[[Sequence[str]], Tokens]
) -> pd.DataFrame:
    """One row a caption, in the order of the manifest and of each image's captions.

    Args:
        manifest: rows with `image`, `split`, `captions` (list of str).
    Returns: `caption_id`, `image`, `image_row`, `split`, `text`, `token_ids`, `length`,
        `truncated`.
    """
    counts = manifest["captions"].map(len).to_numpy()
    rows = np.repeat(np.arange(len(manifest)), counts)
    texts = [clean_caption(text) for captions in manifest["captions"] for text in captions]
    # A tokenizer's own objects are many times as large as what is kept of them.
    blocks = [tokenizer(texts[n : n + _AT_ONCE]) for n in range(0, len(texts), _AT_ONCE)]
    ids = [row for block in blocks for row in block.ids]
    return pd.DataFrame(
        {
            "caption_id": np.arange(len(texts)),
            "image": manifest["image"].to_numpy()[rows],
            "image_row": rows,
            "split": manifest["split"].to_numpy()[rows],
            "text": texts,
            "token_ids": ids,
            "length": [len(row) for row in ids],
            "truncated": [cut for block in blocks for cut in block.truncated],
        }
    )


def caption_audit(captions: pd.DataFrame, names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What the caption corpus holds.

    Args:
        captions: as `caption_table` makes them.
        names: label → what people call the class.
    Returns: JSON-like: `captions`, `images`, `truncated`, `length` (`mean`, `p99`, `max`), and
        `mentions` (label → captions, by split, that contain a name of it as whole words).
    """
    lengths = captions["length"]
    return {
        "captions": len(captions),
        "images": int(captions["image_row"].nunique()),
        "truncated": int(captions["truncated"].sum()),
        "length": {
            "mean": float(lengths.mean()),
            "p99": float(lengths.quantile(0.99)),
            "max": int(lengths.max()),
        },
        "mentions": {label: _mentions(captions, forms) for label, forms in names.items()},
    }


def rows_without_mention(
    captions: pd.DataFrame, names: Mapping[str, Sequence[str]], split: str
) -> np.ndarray:
    """Photographs of which no caption mentions any class.

    Args:
        captions: as `caption_table` makes them. names: as of `caption_audit`.
        split: whose photographs.
    Returns: (N,) int64 `image_row`, ascending.
    """
    own = captions[captions["split"] == split]
    named = _mentioning(own, [form for forms in names.values() for form in forms])
    mentioned = own.loc[named, "image_row"].unique()
    return np.setdiff1d(own["image_row"].to_numpy(dtype=np.int64), mentioned)


def _mentions(captions: pd.DataFrame, forms: Sequence[str]) -> dict[str, int]:
    found = _mentioning(captions, forms)
    return {str(split): int(n) for split, n in found.groupby(captions["split"]).sum().items()}


def _mentioning(captions: pd.DataFrame, forms: Sequence[str]) -> pd.Series:
    """(M,) bool; the captions that contain one of the names as whole words."""
    words = "|".join(re.escape(form.lower()) for form in forms)
    return captions["text"].str.lower().str.contains(rf"\b(?:{words})\b", regex=True)
