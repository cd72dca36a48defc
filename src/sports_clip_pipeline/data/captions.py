"""Caption cleaning and tokenization; the table of captions, several per image."""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tokenizers import Tokenizer

_BATCH_SIZE = 4096


def clean_caption(text: str) -> str:
    r"""Resolve HTML entities (twice: many are escaped twice) and collapse whitespace.

    >>> clean_caption("A dog &amp;amp; a   cat \n run .")
    'A dog & a cat run .'

    Source: open_clip.tokenizer, `basic_clean` and `whitespace_clean` without ftfy.
    """
    return re.sub(r"\s+", " ", html.unescape(html.unescape(text))).strip()


@dataclass(frozen=True)
class Tokens:
    """Token ids of several texts, without padding.

    Attributes:
        ids: one int32 array per text, special tokens included, at most the context length.
        truncated: (M,) bool; texts longer than the context length.
    """

    ids: list[np.ndarray]
    truncated: np.ndarray


class CaptionTokenizer:
    """The tokenizer of a text encoder, read from its `tokenizer.json`."""

    def __init__(self, path: Path, context_length: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(context_length)

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Clean and tokenize texts; a truncated text keeps its end-of-text token."""
        encoded = self._tokenizer.encode_batch([clean_caption(text) for text in texts])
        ids = [np.asarray(encoding.ids, dtype=np.int32) for encoding in encoded]
        truncated = [bool(encoding.overflowing) for encoding in encoded]
        return Tokens(ids, np.array(truncated, dtype=bool))


def pad(ids: Sequence[np.ndarray], padding: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pad token ids to the longest row.

    Returns: ids (B, T) int64, and the attention mask (B, T) int64, 1 for real tokens.
    """
    lengths = np.array([len(row) for row in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]  # (B, T)
    block = np.full(mask.shape, padding, dtype=np.int64)
    block[mask] = np.concatenate(ids)
    return block, mask.astype(np.int64)


def caption_table(
    manifest: pd.DataFrame, tokenizer: Callable[[Sequence[str]], Tokens]
) -> pd.DataFrame:
    """Tokenized captions, one row each, in the order of the manifest.

    Args:
        manifest: columns `image`, `split`, `captions` (list of str).
    Returns: columns `caption_id`, `image`, `image_row`, `split`, `text`, `token_ids`, `length`,
        `truncated`.
    """
    counts = manifest["captions"].map(len).to_numpy()
    rows = np.repeat(np.arange(len(manifest)), counts)
    texts = [clean_caption(text) for captions in manifest["captions"] for text in captions]
    # In batches: a tokenizer's own objects need many times the memory of the ids.
    starts = range(0, len(texts), _BATCH_SIZE)
    batches = [tokenizer(texts[start : start + _BATCH_SIZE]) for start in starts]
    ids = [row for batch in batches for row in batch.ids]
    return pd.DataFrame(
        {
            "caption_id": np.arange(len(texts)),
            "image": manifest["image"].to_numpy()[rows],
            "image_row": rows,
            "split": manifest["split"].to_numpy()[rows],
            "text": texts,
            "token_ids": ids,
            "length": [len(row) for row in ids],
            "truncated": [cut for batch in batches for cut in batch.truncated],
        }
    )


def caption_audit(captions: pd.DataFrame, names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Statistics of the captions: lengths, truncation and mentions of the classes.

    Args:
        captions: of `caption_table`. names: label -> names of the class.
    Returns: JSON-like: `captions`, `images`, `truncated`, `length` (`mean`, `p99`, `max`), and
        `mentions` (label -> split -> captions that contain a name of the class as whole words).
    """
    lengths = captions["length"]
    mentions = {}
    for label, class_names in names.items():
        by_split = _mentions_any(captions, class_names).groupby(captions["split"]).sum()
        mentions[label] = {str(split): int(count) for split, count in by_split.items()}
    return {
        "captions": len(captions),
        "images": int(captions["image_row"].nunique()),
        "truncated": int(captions["truncated"].sum()),
        "length": {
            "mean": float(lengths.mean()),
            "p99": float(lengths.quantile(0.99)),
            "max": int(lengths.max()),
        },
        "mentions": mentions,
    }


def rows_without_mention(
    captions: pd.DataFrame, names: Mapping[str, Sequence[str]], split: str
) -> np.ndarray:
    """Images of a split of which no caption mentions any class.

    Args:
        captions: of `caption_table`. names: label -> names of the class.
    Returns: (N,) int64 `image_row`, ascending.
    """
    of_split = captions[captions["split"] == split]
    mentioning = _mentions_any(of_split, [name for each in names.values() for name in each])
    mentioned = of_split.loc[mentioning, "image_row"].unique()
    return np.setdiff1d(of_split["image_row"].to_numpy(dtype=np.int64), mentioned)


def _mentions_any(captions: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    """(M,) bool; captions that contain one of the names as whole words."""
    words = "|".join(re.escape(name.lower()) for name in names)
    return captions["text"].str.lower().str.contains(rf"\b(?:{words})\b", regex=True)
