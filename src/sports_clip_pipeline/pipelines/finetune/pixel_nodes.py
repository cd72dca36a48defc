"""Nodes of the pixel plan: arms that train through the image tower."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sports_clip_pipeline.annotations import Arrays, Document, Table
from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.data.classes import ClassBank
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.pipelines.tokenize.config import TokenizeConfig


def select_pixels(
    splits: Table,
    sports_images: Any,
    sports_manifest: Table,
    text_anchors: Arrays,
    clip_model: Path,
    embed_audit: Document,
    class_bank: ClassBank,
    tokenize: TokenizeConfig,
    pixels: EndToEndConfig,
    journal: Journal,
) -> Any:
    """What training may see: development photographs, their labels, tower, anchors, prompts."""
    from sports_clip_pipeline.evaluation.zero_shot import encode_labels
    from sports_clip_pipeline.models.clip_folder import read_image_tower, read_projections
    from sports_clip_pipeline.training.methods.interface import TextAnchors
    from sports_clip_pipeline.training.pixels.arms import PixelStudy
    from sports_clip_pipeline.training.pixels.methods.interface import Start
    from sports_clip_pipeline.training.pixels.prompts import prompts_of

    projections = read_projections(clip_model)
    anchors = TextAnchors(
        anchors=text_anchors["anchors"],
        logit_scale=float(text_anchors["logit_scale"][0]),
        image_weight=projections.image_weight,
        image_bias=projections.image_bias,
        image_body=projections.image_body,
    )
    prompts = prompts_of(
        class_bank, embed_audit["text_encoder"], tokenize.context_length, projections.text_weight,
        clip_model,
    )  # fmt: skip
    rows = (splits["split"] == "development").to_numpy()
    squares = _squares(
        "development", splits, sports_images, sports_manifest, embed_audit, pixels, journal
    )
    development = splits[rows].reset_index(drop=True)
    target = encode_labels(development["label"], class_bank.labels)
    start = Start(embed_audit["image_encoder"], anchors, prompts, read_image_tower(clip_model))
    return PixelStudy(squares, target, development, start)


def fit_pixel_arms(
    end_to_end_study: Any,
    splits: Table,
    sports_images: Any,
    sports_manifest: Table,
    embed_audit: Document,
    class_bank: ClassBank,
    finetune: FinetuneConfig,
    pixels: EndToEndConfig,
    journal: Journal,
) -> Any:
    """Train the arms where the plan is `pixels`; else show what earlier runs finished."""
    if finetune.plan == "pixels":
        _refuse_untrainable(end_to_end_study.start)
    if finetune.dry_run and finetune.plan == "pixels":
        _tell_plan(end_to_end_study, pixels)
    from sports_clip_pipeline.evaluation.pixels import PixelJudge, PixelScores
    from sports_clip_pipeline.evaluation.zero_shot import evaluation_target
    from sports_clip_pipeline.training.pixels.arms import (
        finished_pixel_arms,
        run_pixel_arms,
    )

    squares = _squares(
        "evaluation", splits, sports_images, sports_manifest, embed_audit, pixels, journal
    )
    target = evaluation_target(splits, class_bank.labels)
    judge = PixelJudge(
        squares, target, class_bank.labels, embed_audit["image_encoder"], pixels.views,
        finetune.bootstrap_resamples, journal,
    )  # fmt: skip
    trains = finetune.plan == "pixels" and not finetune.dry_run
    scores = PixelScores(judge)
    for done in (run_pixel_arms if trains else finished_pixel_arms)(
        end_to_end_study, pixels, journal
    ):
        arm = judge.judge(done) if trains else judge.remembered(done)
        if arm is not None:
            scores.add(done, arm)
            journal.log_trial(arm.row, "end_to_end")
    return scores


def join_plans(
    end_to_end_scores: Any,
    end_to_end_study: Any,
    study_data: Any,
    chosen_trials: Any,
    test_data: Arrays,
    embed_audit: Document,
    finetune: FinetuneConfig,
    finetune_state: Journal,
) -> tuple[Table, Table, Any, Any]:
    """Pixel arms, also joined to the committee of the same labels; which of those to ship."""
    from sports_clip_pipeline.evaluation.joined import JoinedScores
    from sports_clip_pipeline.evaluation.pixels import pixel_tables
    from sports_clip_pipeline.training.pixels.joined import join_all

    joined = join_all(
        end_to_end_scores.trained, end_to_end_study, study_data, finetune, finetune_state
    )
    scores = JoinedScores(joined, end_to_end_scores, embed_audit)
    judged = scores.judged(test_data["features"])
    for arm in judged:
        finetune_state.log_trial(arm.row, "end_to_end")
    arms, curves = pixel_tables([*end_to_end_scores.scored, *judged], finetune.bootstrap_resamples)
    predictors = end_to_end_scores.predictors() | scores.predictors()
    return arms, curves, predictors, scores.shipped(chosen_trials, study_data)


def _refuse_untrainable(start: Any) -> None:
    """Raises: UserFacingError: the tower is none of timm's, or its projection is not linear."""
    from sports_clip_pipeline.encoders.names import is_pair

    if is_pair(start.tower) or start.anchors.image_body:
        raise UserFacingError(
            "finetune.plan=pixels",
            f"trains a timm tower under a linear projection, and the CLIP model has {start.tower}"
            + (" under another one" if start.anchors.image_body else ""),
            "set embed.image_encoder and pretrain.projections so, and run from embed on",
        )


def _tell_plan(end_to_end_study: Any, pixels: EndToEndConfig) -> None:
    from sports_clip_pipeline.errors import DryRun
    from sports_clip_pipeline.training.pixels.estimate import estimate_study
    from sports_clip_pipeline.training.plan import plan_in_words

    raise DryRun(plan_in_words(estimate_study(end_to_end_study, pixels)))


def _squares(
    part: str,
    splits: Table,
    sports_images: Any,
    sports_manifest: Table,
    embed_audit: Document,
    pixels: EndToEndConfig,
    journal: Journal,
) -> Any:
    """A part's photographs as the tower sees them whole; decoded when first opened."""
    from sports_clip_pipeline.models.image_towers import image_preprocessing
    from sports_clip_pipeline.training.pixels.parts import squares_of_part

    seen = image_preprocessing(embed_audit["image_encoder"], pixels.test_size, "full")
    return squares_of_part(part, splits, sports_images, sports_manifest, seen, journal)
