"""Nodes of `tokenize` and `embed`: captions to token ids; images and captions to features."""

from typing import Any

from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig, TokenizeConfig
from sports_clip_pipeline.pipelines.wiring import Arrays, Document, Table


def embed_corpora(
    flickr8k_images: Any,
    flickr8k_manifest: Table,
    sports_images: Any,
    sports_manifest: Table,
    captions: Table,
    feature_cache: Any,
    config: EmbedConfig,
    embed_state: RunState,
) -> tuple[Arrays, Arrays, Arrays, Document]:
    """Features of both image corpora and of all captions, and an audit of the encoders.

    Additional encoders embed the labelled corpus alone.
    """
    from sports_clip_pipeline import machine
    from sports_clip_pipeline.encoders.embedder import Embedder

    machine.set_cuda_device()
    embedder = Embedder(
        config, feature_cache, embed_state, together=machine.rank_and_world_size() is not None
    )
    flickr8k = embedder.images("flickr8k", flickr8k_images, flickr8k_manifest)
    sports = embedder.images("sports", sports_images, sports_manifest, additional=True)
    texts = embedder.captions(list(captions["token_ids"]))
    machine.exit_unless_main_process("embedding")
    return flickr8k, sports, texts, embedder.whole_audit(sports_images)


def tokenize_captions(flickr8k_manifest: Table, config: TokenizeConfig) -> Table:
    """Tokenize captions: one row a caption with text, image row and token ids."""
    from sports_clip_pipeline.data.captions import caption_table
    from sports_clip_pipeline.encoders.text_encoders import caption_tokenizer

    tokenizer = caption_tokenizer(config.text_encoder, config.context_length)
    return caption_table(flickr8k_manifest, tokenizer)


def audit_captions(captions: Table, class_bank: ClassBank) -> Document:
    """Counts, lengths, truncation, and how often captions mention each class."""
    from sports_clip_pipeline.data.captions import caption_audit

    names = {label: class_bank[label].names for label in class_bank.labels}
    return caption_audit(captions, names)
