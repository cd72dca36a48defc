"""Parameter block `tokenize`: how captions become token ids."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sports_clip_pipeline.encoders.weights import TextEncoder
from sports_clip_pipeline.parameters import Parameters


class TokenizeConfig(Parameters):
    """Whose tokenizer, and how many tokens."""

    block: ClassVar[str] = "tokenize"

    text_encoder: TextEncoder = Field("minilm", description="Its own tokenizer is used.")
    context_length: int = Field(
        64, ge=8, le=512, description="Tokens a caption may have, special ones included."
    )
