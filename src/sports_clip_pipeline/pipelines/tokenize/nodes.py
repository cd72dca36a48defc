"""Nodes of `tokenize`: captions to token ids, by the text encoder's own tokenizer."""

from __future__ import annotations

from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.pipelines.tokenize.config import TokenizeConfig
from sports_clip_pipeline.pipelines.wiring import Document, Table


def tokenize_captions(flickr8k_manifest: Table, config: TokenizeConfig) -> Table:
    """Tokenize captions: one row a caption with text, image row and token ids."""
    from sports_clip_pipeline.data.captions import caption_table
    from sports_clip_pipeline.encoders.text_encoders import caption_tokenizer

    tokenizer = caption_tokenizer(config.text_encoder, config.context_length)
    return caption_table(flickr8k_manifest, tokenizer)


def audit_captions(captions: Table, class_bank: ClassBank) -> Document:
    """Counts, lengths, truncation, and how often captions mention each class."""
    from sports_clip_pipeline.data.captions import caption_audit

    names = {label: class_bank.names(label) for label in class_bank.labels}
    return caption_audit(captions, names)
