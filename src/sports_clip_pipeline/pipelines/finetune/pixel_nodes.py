"""Nodes of the pixel plan: arms that train through the image tower."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sports_clip_pipeline.annotations import Array, Arrays, Document, Table
from sports_clip_pipeline.config.classes import ClassBank
from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.config.pixels import PixelsConfig
from sports_clip_pipeline.config.tokenize import TokenizeConfig
from sports_clip_pipeline.journal import Journal


def select_pixels(
    splits: Table,
    sports_images: Any,
    sports_manifest: Table,
    text_anchors: Arrays,
    clip_model: Path,
    embed_audit: Document,
    class_bank: ClassBank,
    tokenize: TokenizeConfig,
    pixels: PixelsConfig,
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
    )
    prompts = prompts_of(
        class_bank, embed_audit["text_tower"], tokenize.context_length, projections.text_weight,
        clip_model,
    )  # fmt: skip
    rows = (splits["part"] == "development").to_numpy()
    squares = _squares(
        "development", rows, sports_images, sports_manifest, embed_audit, pixels, journal
    )
    development = splits[rows].reset_index(drop=True)
    target = encode_labels(development["label"], class_bank.labels)
    start = Start(embed_audit["image_tower"], anchors, prompts, read_image_tower(clip_model))
    return PixelStudy(squares, target, development, start)


def fit_pixel_arms(
    pixel_study: Any,
    splits: Table,
    sports_images: Any,
    sports_manifest: Table,
    embed_audit: Document,
    ingest_audit: Document,
    class_bank: ClassBank,
    finetune: FinetuneConfig,
    pixels: PixelsConfig,
    journal: Journal,
) -> tuple[Table, Table, Any]:
    """Train the arms where the plan is `pixels`; else show what earlier runs finished."""
    from functools import partial

    if finetune.dry_run and finetune.plan == "pixels":
        _tell_plan(pixel_study, pixels)
    from sports_clip_pipeline.evaluation.pixels import PixelJudge, arm_names, pixel_tables
    from sports_clip_pipeline.evaluation.zero_shot import encode_labels
    from sports_clip_pipeline.training.pixels.arms import (
        finished_pixel_arms,
        run_pixel_arms,
    )

    rows = (splits["part"] == "evaluation").to_numpy()
    squares = _squares(
        "evaluation", rows, sports_images, sports_manifest, embed_audit, pixels, journal
    )
    target = encode_labels(splits.loc[rows, "label"], class_bank.labels)
    judge = PixelJudge(
        squares, target, class_bank.labels, embed_audit["image_tower"], pixels.views,
        finetune.bootstrap_resamples, journal,
    )  # fmt: skip
    trains = finetune.plan == "pixels" and not finetune.dry_run
    shared = {"tower": embed_audit["image_tower"], "data_digest": ingest_audit["data_digest"]}
    scored = []
    for done in (run_pixel_arms if trains else finished_pixel_arms)(pixel_study, pixels, journal):
        arm = judge.judge(done) if trains else judge.remembered(done)
        if arm is not None:
            scored.append(arm)
            _log(journal, arm, {**shared, "plan": "pixels"})
    arms, curves = pixel_tables(scored, finetune.bootstrap_resamples)
    lazily = [partial(_predictor, judge, arm.fitted.arm, pixel_study, pixels) for arm in scored]
    return arms, curves, dict(zip(arm_names(scored), lazily, strict=True))


def _tell_plan(pixel_study: Any, pixels: PixelsConfig) -> None:
    from sports_clip_pipeline.errors import DryRun
    from sports_clip_pipeline.training.pixels.estimate import estimate_study
    from sports_clip_pipeline.training.plan import plan_in_words

    raise DryRun(plan_in_words(estimate_study(pixel_study, pixels)))


def _squares(
    name: str,
    chosen: Array,
    sports_images: Any,
    sports_manifest: Table,
    embed_audit: Document,
    pixels: PixelsConfig,
    journal: Journal,
) -> Any:
    """The chosen rows of the store, as the tower sees them whole; decoded when first opened."""
    import numpy as np

    from sports_clip_pipeline.models.towers import image_preprocessing
    from sports_clip_pipeline.training.pixels.squares import Squares

    rows = np.flatnonzero(chosen)
    addresses = sports_manifest["stored_sha256"].to_numpy()[rows].tolist()
    seen = image_preprocessing(embed_audit["image_tower"], pixels.test_size, "full")
    return Squares(sports_images, rows, addresses, seen, journal, name)


def _predictor(judge: Any, arm: Any, study: Any, pixels: PixelsConfig) -> Any:
    from sports_clip_pipeline.training.pixels.arms import read_pixel_arm

    return judge.predictor(read_pixel_arm(arm, study.mark(arm, pixels), judge.journal))


def _log(journal: Journal, arm: Any, shared: dict[str, Any]) -> None:
    row, fit = arm.row, arm.fitted.fit
    params = {key: row[key] for key in ("method", "fraction", "seed", "labels")}
    metrics = {
        "test/top1": row["top1"],
        "test/macro_f1": row["macro_f1"],
        "validation/top1": row["cv_top1"],
        "validation/log_loss": row["cv_log_loss"],
        "elapsed_s": row["elapsed_s"],
    }
    journal.log_arm(
        f"pixels {row['method']} {row['fraction']:g} seed {row['seed']}",
        {**params, **shared, **fit.hyperparameters},
        metrics,
        {"reused": str(row["reused"]).lower()},
    )
