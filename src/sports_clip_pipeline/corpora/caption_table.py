"""The table of captions: five of one image belong together by the image's row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.preprocessing.captions import Tokens, clean_caption

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
