"""Nodes of `pretrain`: contrastive pretraining, the CLIP folder, features of its encoders."""

from pathlib import Path
from typing import Any

from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig, TokenizeConfig
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.pipelines.wiring import Arrays, Document, Table


def pretrain_clip(
    flickr8k_features: Arrays,
    caption_features: Arrays,
    flickr8k_images: Any,
    flickr8k_manifest: Table,
    captions: Table,
    embed_audit: Document,
    feature_cache: Any,
    embed: EmbedConfig,
    config: PretrainConfig,
    tokenize: TokenizeConfig,
    pretrain_state: RunState,
) -> tuple[Path, Table]:
    """Contrastive pretraining of the projections, then of unlocked encoders; model and curve."""
    import pandas as pd

    from sports_clip_pipeline.clip.folder import write_clip_folder
    from sports_clip_pipeline.data.transforms import ImageTransform
    from sports_clip_pipeline.machine import exit_unless_main_process, is_main_process

    if not config.unlocks:
        exit_unless_main_process("pretraining")  # locked encoders leave nothing to share
    if pretrain_state.folder is not None and not is_main_process():
        # Rank 0 alone writes checkpoints.
        pretrain_state = RunState(pretrain_state.folder, read_only=True)

    corpus = {
        "image": flickr8k_features["features"],
        "text": caption_features["features"],
        "manifest": flickr8k_manifest,
        "captions": captions,
    }
    recipe = {
        "image_encoder": embed_audit["image_encoder"],
        "text_encoder": embed_audit["text_encoder"],
        "preprocessing": ImageTransform(**embed_audit["preprocessing"]),
        "context_length": tokenize.context_length,
    }
    compute = _compute(config)
    start = _own_projections(recipe, config)
    views: list[Any] = []
    if config.random_views:
        views = _views(flickr8k_manifest, embed_audit, feature_cache, embed)
    projections, history, content = _learn_projections(corpus, views, start, config, pretrain_state)
    locked = pd.DataFrame(history).assign(encoders="locked")
    # A pair used as published is evaluated, not trained: the columns without a row.
    curve, weights = [locked if config.epochs or config.unlocks else locked[:0]], None
    if config.unlocks:
        begin = projections, content, int(history[-1]["step"])
        trained, content = _train_encoders(
            begin, corpus, flickr8k_images, recipe, config, compute, pretrain_state
        )
        projections, weights = trained.projections, trained.weights
        curve.append(pd.DataFrame(trained.history).assign(encoders="unlocked"))
    folder = pretrain_state.workspace("clip", content) / "folder"
    write_clip_folder(folder, projections, **recipe, trained=weights)
    return folder, pd.concat(curve, ignore_index=True)


def embed_with_clip(
    clip_model: Path,
    flickr8k_features: Arrays,
    sports_features: Arrays,
    caption_features: Arrays,
    flickr8k_images: Any,
    flickr8k_manifest: Table,
    sports_images: Any,
    sports_manifest: Table,
    captions: Table,
    embed: EmbedConfig,
    pretrain_state: RunState,
) -> tuple[Arrays, Arrays, Arrays]:
    """Features of the CLIP model's own encoders: those of `embed` where they stayed locked."""
    from sports_clip_pipeline.clip.folder import WEIGHTS, trained_encoders
    from sports_clip_pipeline.encoders.embedder import Embedder
    from sports_clip_pipeline.encoders.features import FeatureCache
    from sports_clip_pipeline.io.fingerprint import file_sha256, fingerprint

    trained = trained_encoders(clip_model)
    if trained:
        # A cache of their own: it is emptied when other weights are trained.
        content = fingerprint(file_sha256(clip_model / WEIGHTS))
        cache = FeatureCache(pretrain_state.workspace("features", content))
        embedder = Embedder(embed, cache, pretrain_state, clip_model)
    if "image" in trained:
        flickr8k = embedder.images("flickr8k", flickr8k_images, flickr8k_manifest)
        flickr8k_features = {**flickr8k_features, **flickr8k}
        sports = embedder.images("sports", sports_images, sports_manifest)
        sports_features = {**sports_features, **sports}
    if "text" in trained:
        caption_features = embedder.captions(list(captions["token_ids"]))
    return flickr8k_features, sports_features, caption_features


def _compute(config: PretrainConfig) -> Any:
    """Device and precision; a missing device is refused before training."""
    if not config.unlocks:
        return None
    from sports_clip_pipeline.training.distributed import choose_compute

    return choose_compute(config.device, config.precision, config.compiled)


def _own_projections(recipe: dict[str, Any], config: PretrainConfig) -> Any:
    """Identity projections of an open_clip pair; None where projections are trained."""
    from sports_clip_pipeline.encoders.weights import is_pair
    from sports_clip_pipeline.errors import UserFacingError

    pair = recipe["image_encoder"]
    if is_pair(pair) != (config.projections == "none"):
        expected = "none" if is_pair(pair) else "linear or notebook"
        what = f"wanted {expected} for the encoder {pair}, got {config.projections}"
        raise UserFacingError("parameter pretrain.projections", what, f"set it to {expected}")
    if config.projections != "none":
        return None
    from sports_clip_pipeline.clip.losses import OBJECTIVES
    from sports_clip_pipeline.clip.projections import identity_projections
    from sports_clip_pipeline.encoders.open_clip_pairs import pair_spec

    model: Any = pair_spec(pair).load_pair()
    bias = OBJECTIVES[config.loss].starting_bias(config.encoder_batch_size)
    if model.logit_bias is not None:
        bias = float(model.logit_bias.detach())
    return identity_projections(model.visual.output_dim, float(model.logit_scale.detach()), bias)


def _views(manifest: Table, audit: Document, cache: Any, embed: EmbedConfig) -> list[Any]:
    """Image features of each view of the captioned images, from the feature cache."""
    from sports_clip_pipeline.encoders.embedder import Embedder
    from sports_clip_pipeline.errors import UserFacingError

    requested = embed.image_encoder, list(embed.views), embed.image_size
    embedded = audit["image_encoder"], list(audit["views"]), audit["preprocessing"]["size"]
    if requested != embedded or len(embed.views) < 2:
        raise UserFacingError(
            "parameter pretrain.random_views",
            f"wanted two views or more, as embed made them ({embedded}), got {requested}",
            "set embed.views to several and run embed first",
        )
    try:
        return Embedder(embed, cache, RunState()).each_view(manifest)
    except KeyError as error:
        raise UserFacingError(
            cache.root, "does not hold every view any more", "run `kedro run --pipelines=embed`"
        ) from error


def _learn_projections(
    corpus: dict[str, Any],
    views: Any,
    start: Any,
    config: PretrainConfig,
    state: RunState,
) -> tuple[Any, list[dict[str, float]], str]:
    """Projections over frozen encoders, the history, and the fingerprint of both."""
    import numpy as np

    from sports_clip_pipeline.evaluation import metrics
    from sports_clip_pipeline.io.fingerprint import fingerprint
    from sports_clip_pipeline.training import contrastive, image_text_pairs

    train = image_text_pairs.pairs_of_split(**corpus, split="train", views=views)
    validation = image_text_pairs.pairs_of_split(**corpus, split="validation")
    digests = [rows.digest() for rows in (train.image, train.text, *train.views)]
    content = fingerprint(config.locked_part(), contrastive, metrics, digests, train.image_index)
    images, texts = np.asarray(validation.image), np.asarray(validation.text)

    def evaluate(model: Any) -> dict[str, float]:
        embeddings = model.image_embeddings(images), model.text_embeddings(texts)
        return metrics.validation_recalls(*embeddings, validation.image_index)

    if start is not None:
        return start, [contrastive.starting_row(start, evaluate)], content
    return *contrastive.pretrain_projections(train, evaluate, config, state, content), content


def _train_encoders(
    start: Any,
    corpus: dict[str, Any],
    images: Any,
    recipe: dict[str, Any],
    config: PretrainConfig,
    compute: Any,
    state: RunState,
) -> tuple[Any, str]:
    """The unlocked encoders, trained from the projections, and the fingerprint of that."""
    from sports_clip_pipeline.clip.model import build_clip
    from sports_clip_pipeline.evaluation import metrics
    from sports_clip_pipeline.io.fingerprint import fingerprint
    from sports_clip_pipeline.machine import exit_unless_main_process, rank_and_world_size
    from sports_clip_pipeline.training import contrastive
    from sports_clip_pipeline.training.distributed import process_group
    from sports_clip_pipeline.training.image_text_pairs import pairs_of_split

    projections, learned, steps = start
    preprocessing = recipe["preprocessing"]
    encoders = [recipe["image_encoder"], recipe["text_encoder"], preprocessing.to_dict()]
    content = fingerprint(config, learned, encoders, compute, contrastive, metrics)
    train, validation = (
        pairs_of_split(**corpus, split=split, store=images) for split in ("train", "validation")
    )
    if rank_and_world_size() and state.folder is None:
        raise ValueError("several processes share checkpoints on disk, and this state has none")
    with process_group(compute.device, config.encoder_batch_size) as processes:
        task = contrastive.UnlockedTask(
            build_clip(projections, **recipe), train, validation, metrics.validation_recalls,
            preprocessing, config, compute, processes, steps,
        )  # fmt: skip
        trained = contrastive.train_encoders(task, state, content)
    exit_unless_main_process("pretraining")
    return trained, content
