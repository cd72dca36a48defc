"""The tokenizer that belongs to a packaged text tower."""

from __future__ import annotations

from sports_clip_pipeline.models.towers import text_tower_spec
from sports_clip_pipeline.preprocessing.captions import CaptionTokenizer


def caption_tokenizer(text_tower: str, context_length: int) -> CaptionTokenizer:
    """The tower's own tokenizer. Raises: UserFacingError: unknown tower."""
    return CaptionTokenizer(text_tower_spec(text_tower).folder / "tokenizer.json", context_length)
