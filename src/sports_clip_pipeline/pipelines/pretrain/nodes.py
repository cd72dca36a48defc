"""Nodes of `pretrain`: contrastive pretraining over locked towers, then the CLIP folder."""

from __future__ import annotations

from pathlib import Path

from sports_clip_pipeline.annotations import Arrays, Document, Table
from sports_clip_pipeline.config.pretrain import PretrainConfig
from sports_clip_pipeline.config.tokenize import TokenizeConfig
from sports_clip_pipeline.journal import Journal


def pretrain_clip(
    flickr8k_features: Arrays,
    caption_features: Arrays,
    flickr8k_manifest: Table,
    captions: Table,
    embed_audit: Document,
    config: PretrainConfig,
    tokenize: TokenizeConfig,
    journal: Journal,
) -> tuple[Path, Table]:
    """Learn the projections, assemble open_clip's model, and keep the curve."""
    import pandas as pd

    from sports_clip_pipeline.evaluation.retrieval import recall_columns
    from sports_clip_pipeline.journal import fingerprint
    from sports_clip_pipeline.models.clip_folder import write_clip_folder
    from sports_clip_pipeline.preprocessing.images import ImagePreprocessing
    from sports_clip_pipeline.training import locked

    features = flickr8k_features["features"], caption_features["features"]
    train = locked.pairs_of_split(*features, flickr8k_manifest, captions, "train")
    validation = locked.pairs_of_split(*features, flickr8k_manifest, captions, "validation")
    mark = fingerprint(config, locked, train.image, train.text, train.owner)
    projections, history = locked.pretrain_projections(
        train,
        recall_columns(validation.image, validation.text, validation.owner),
        config,
        journal,
        mark,
    )
    folder = journal.workspace("clip", mark) / "folder"
    write_clip_folder(
        folder,
        projections,
        image_tower=embed_audit["image_tower"],
        text_tower=embed_audit["text_tower"],
        preprocessing=ImagePreprocessing.from_dict(embed_audit["preprocessing"]),
        context_length=tokenize.context_length,
    )
    return folder, pd.DataFrame(history)
