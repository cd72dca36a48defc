"""Parameters of the `tokenize` pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from sports_clip_pipeline.config.checks import require_number
from sports_clip_pipeline.config.tower_names import require_text_tower


@dataclass(frozen=True)
class TokenizeConfig:
    """How captions become token ids.

    Attributes:
        text_tower: the tower whose own tokenizer is used.
        context_length: tokens a caption may have, special ones included; more are cut.
    """

    text_tower: str = "minilm"
    context_length: int = 64

    def __post_init__(self) -> None:
        require_text_tower(self.text_tower, "tokenize.text_tower")
        require_number(self.context_length, "tokenize.context_length", 8, 512, integer=True)
