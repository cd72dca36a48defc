"""Nodes of `zero_shot`: zero-shot weights, classification without labels, retrieval."""

import dataclasses
from pathlib import Path
from typing import Any

from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig, TokenizeConfig
from sports_clip_pipeline.pipelines.wiring import Arrays, Document, Table
from sports_clip_pipeline.pipelines.zero_shot.config import TransductionConfig, ZeroShotConfig


def encode_class_prompts(
    clip_model: Path,
    class_bank: ClassBank,
    config: ZeroShotConfig,
    tokenize: TokenizeConfig,
    embed: EmbedConfig,
) -> Arrays:
    """Zero-shot weights: unit-norm prompt embeddings of the classes."""
    import numpy as np

    from sports_clip_pipeline.clip.folder import read_projections
    from sports_clip_pipeline.clip.projections import unit_norm
    from sports_clip_pipeline.clip.zero_shot import (
        build_zero_shot_classifier,
        encode_prompts,
        text_features,
    )

    projections = read_projections(clip_model)
    encoders = (text_features(embed.text_encoder, tokenize, clip) for clip in (clip_model, None))
    features, plain = (encode_prompts(class_bank, encode) for encode in encoders)
    weights = {
        f"weights.{kind}": build_zero_shot_classifier(
            class_bank, kind, features, projections.text_embeddings
        )
        for kind in ("names", "sentences", "both")
    }
    return {
        **weights,
        "weights": weights[f"weights.{config.prompts}"],
        "prompts": build_zero_shot_classifier(class_bank, config.prompts, plain, unit_norm),
        "logit_scale": np.array([np.exp(projections.logit_scale)], dtype=np.float32),
    }


def build_zero_shot_scores(
    zero_shot_weights: Arrays,
    clip_model: Path,
    clip_sports_features: Arrays,
    embed: EmbedConfig,
    tokenize: TokenizeConfig,
) -> Any:
    """Zero-shot scores: CLIP cosines, and ConSE over the image encoder's own class names."""
    from sports_clip_pipeline.clip.folder import read_projections
    from sports_clip_pipeline.clip.zero_shot import ZeroShotScores, build_conse
    from sports_clip_pipeline.encoders.features import concat_features
    from sports_clip_pipeline.predictor.head import Operation

    projections = read_projections(clip_model)
    _, widths = concat_features(clip_sports_features)
    return ZeroShotScores(
        embed=(*projections.image_operations(), Operation("l2_normalise")),
        weights=zero_shot_weights["weights"],
        logit_scale=float(zero_shot_weights["logit_scale"][0]),
        conse=build_conse(embed.image_encoder, embed.text_encoder, tokenize),
        text_weights=zero_shot_weights["prompts"],
        widths=widths,
    )


def choose_zero_shot(
    zero_shot_scores: Any,
    clip_model: Path,
    clip_flickr8k_features: Arrays,
    clip_caption_features: Arrays,
    caption_features: Arrays,
    flickr8k_manifest: Table,
    captions: Table,
    config: ZeroShotConfig,
) -> tuple[Any, Document]:
    """The zero-shot head; ConSE weight and hubness share are chosen on validation captions."""
    import numpy as np

    from sports_clip_pipeline.clip.folder import read_projections
    from sports_clip_pipeline.clip.projections import unit_norm
    from sports_clip_pipeline.clip.zero_shot import hubness
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import (
        PairEmbeddings,
        choose_zero_shot_settings,
    )
    from sports_clip_pipeline.training.image_text_pairs import pairs_of_split

    projections = read_projections(clip_model)
    image_features = clip_flickr8k_features["features"]
    corpora = {split: (flickr8k_manifest, captions, split) for split in ("train", "validation")}
    pairs_of = {
        split: pairs_of_split(image_features, clip_caption_features["features"], *corpus)
        for split, corpus in corpora.items()
    }

    def embed_pairs(split: str) -> PairEmbeddings:
        pairs, corpus = pairs_of[split], corpora[split]
        plain = pairs_of_split(image_features, caption_features["features"], *corpus)
        images = np.asarray(pairs.image)
        return PairEmbeddings(
            projections.image_embeddings(images),
            zero_shot_scores.conse_embeddings(images),
            projections.text_embeddings(np.asarray(pairs.text)),
            unit_norm(np.asarray(plain.text)),
            pairs.image_index,
        )

    chosen = choose_zero_shot_settings(
        embed_pairs("validation"),
        embed_pairs("train"),
        zero_shot_scores.logit_scale,
        config.names_weights if zero_shot_scores.conse else (0.0,),
        config.hubness_shares,
    )
    scores, weight = zero_shot_scores, chosen["names_weight"]
    alone = dataclasses.replace(scores, widths=())  # features of the CLIP model's encoder
    background = alone.head(weight)(np.asarray(pairs_of["train"].image))
    class_bias = -chosen["hubness_share"] * hubness(background)
    return scores.head(weight, class_bias), {**chosen, "class_bias": list(class_bias)}


def classify_without_labels(
    zero_shot_head: Any,
    clip_sports_features: Arrays,
    sports_manifest: Table,
    splits: Table,
    class_bank: ClassBank,
) -> Table:
    """Zero-shot probabilities of every sports image."""
    from sports_clip_pipeline.encoders.features import concat_features
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import zero_shot_table

    features, _ = concat_features(clip_sports_features)
    return zero_shot_table(zero_shot_head(features), sports_manifest, splits, class_bank.labels)


def ablate_zero_shot(
    zero_shot_scores: Any,
    zero_shot_choice: Document,
    zero_shot_weights: Arrays,
    clip_sports_features: Arrays,
    splits: Table,
    class_bank: ClassBank,
    config: ZeroShotConfig,
) -> Table:
    """Ablation of zero-shot classification on the test split."""
    from sports_clip_pipeline.encoders.features import concat_features
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import (
        ablation_table,
        evaluation_bootstrap,
        evaluation_target,
    )

    features = concat_features(clip_sports_features)[0][(splits["split"] == "test").to_numpy()]
    target = evaluation_target(splits, class_bank.labels)
    chosen = zero_shot_scores, zero_shot_weights, zero_shot_choice
    bootstrap = evaluation_bootstrap(splits, config.bootstrap_resamples, config.seed)
    return ablation_table(*chosen, features, target, bootstrap)


def learn_without_labels(
    zero_shot_head: Any,
    clip_sports_features: Arrays,
    splits: Table,
    class_bank: ClassBank,
    transduction: TransductionConfig,
    config: ZeroShotConfig,
) -> tuple[Any, Table]:
    """Transductive zero-shot with unlabelled images: a head, and the accuracy of each method.

    Heads are fitted on the development images and evaluated on the test split. Results of
    learning from the test images themselves are separate rows.
    """
    from sports_clip_pipeline.clip.projections import normalise_features
    from sports_clip_pipeline.encoders.features import concat_features
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import (
        evaluation_bootstrap,
        evaluation_target,
        transduction_table,
    )
    from sports_clip_pipeline.fewshot.discriminant import transduce

    features, widths = concat_features(clip_sports_features)
    split = splits["split"].to_numpy()
    development, evaluation = features[split == "development"], features[split == "test"]
    scaled = normalise_features(widths, root=True)
    prior = "uniform" if transduction.balance_rounds else "none"
    rows, heads = [], {}
    for method in transduction.methods:
        head, _ = transduce(method, development, zero_shot_head, scaled, transduction)
        _, itself = transduce(method, evaluation, zero_shot_head, scaled, transduction)
        heads[method] = head
        rows.append((method, "development", head(evaluation), prior))
        rows.append((method, "test", itself, prior))
    target = evaluation_target(splits, class_bank.labels)
    bootstrap = evaluation_bootstrap(splits, config.bootstrap_resamples, config.seed)
    return heads[transduction.shipped], transduction_table(rows, target, bootstrap)


def score_zero_shot(
    zero_shot_predictions: Table, splits: Table, class_bank: ClassBank, config: ZeroShotConfig
) -> Document:
    """Top-1, top-5, macro-F1, per class and confusion on the test split."""
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import (
        evaluation_bootstrap,
        score_table,
    )

    bootstrap = evaluation_bootstrap(splits, config.bootstrap_resamples, config.seed)
    return score_table(zero_shot_predictions, class_bank.labels, bootstrap)


def score_retrieval(
    clip_model: Path,
    clip_flickr8k_features: Arrays,
    clip_caption_features: Arrays,
    flickr8k_manifest: Table,
    captions: Table,
) -> Document:
    """Recall at 1, 5 and 10 both ways on the caption corpus's test split."""
    import numpy as np

    from sports_clip_pipeline.clip.folder import read_projections
    from sports_clip_pipeline.evaluation.metrics import retrieval_metrics
    from sports_clip_pipeline.training.image_text_pairs import pairs_of_split

    features = clip_flickr8k_features["features"], clip_caption_features["features"]
    pairs = pairs_of_split(*features, flickr8k_manifest, captions, "test")
    projections = read_projections(clip_model)
    metrics = retrieval_metrics(
        projections.image_embeddings(np.asarray(pairs.image)),
        projections.text_embeddings(np.asarray(pairs.text)),
        pairs.image_index,
    )
    return {**metrics, "images": len(pairs.image), "captions": len(pairs.text)}
