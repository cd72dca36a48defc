"""The tokenizer that belongs to a text tower."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sports_clip_pipeline.encoders.names import is_pair
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.models.text_towers import text_tower_spec
from sports_clip_pipeline.preprocessing.captions import CaptionTokenizer, Tokens


def caption_tokenizer(text_encoder: str, context_length: int) -> Callable[[Sequence[str]], Tokens]:
    """The tower's own tokenizer: texts to token ids.

    Raises: UserFacingError: unknown tower, or one that reads another number of tokens.
    """
    if is_pair(text_encoder):
        from sports_clip_pipeline.models.open_clip_pair import PairTokenizer, pair_spec

        spec = pair_spec(text_encoder)
        if context_length != spec.context_length:
            what = f"{text_encoder} reads {spec.context_length} tokens, got {context_length}"
            remedy = f"set tokenize.context_length={spec.context_length}"
            raise UserFacingError("parameter tokenize.context_length", what, remedy)
        return PairTokenizer(spec)
    return CaptionTokenizer(text_tower_spec(text_encoder).folder / "tokenizer.json", context_length)
