"""Nodes of the `cam_eval` pipeline: measure maps on many photographs, and judge the methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sports_clip_pipeline.annotations import Figure, Table
from sports_clip_pipeline.data.classes import ClassBank
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.pipelines.cam.config import METHODS
from sports_clip_pipeline.pipelines.cam_eval.config import CamEvalConfig


def measure_maps(
    test_predictions: Table,
    sports_images: Any,
    sports_manifest: Table,
    predictor: Any,
    clip_model: Path,
    class_bank: ClassBank,
    cam_eval_journal: Journal,
    cam_eval: CamEvalConfig,
) -> Table:
    """Every method's maps on a draw of evaluation photographs; floors and shuffled weights too."""
    from sports_clip_pipeline.explain.choice import draw_for_measuring
    from sports_clip_pipeline.explain.measuring import (
        FITTED_ON,
        Work,
        measure_photographs,
        plan_items,
    )

    said = test_predictions.rename(columns={"finetuned_label": "predicted"})
    draw = draw_for_measuring(said, cam_eval.images, cam_eval.wrong_share, cam_eval.seed)
    items = plan_items(draw, sports_manifest, cam_eval)
    plan = _networks(predictor, clip_model, class_bank, cam_eval)
    judged = sports_manifest["image"].isin(said["image"]).to_numpy()
    fitted_on = tuple(judged.nonzero()[0].tolist()[:FITTED_ON])
    work = Work(sports_images, plan.build, plan.identity(), fitted_on, cam_eval)
    return measure_photographs(items, work, cam_eval_journal)


def summarise_maps(
    cam_eval_scores: Table, cam_eval_journal: Journal, cam_eval: CamEvalConfig
) -> Table:
    """Means, intervals and differences to the better floor; the same as metrics of the run."""
    from sports_clip_pipeline.evaluation.explanations import (
        headline_numbers,
        summarise_explanations,
    )

    summary = summarise_explanations(cam_eval_scores, cam_eval.resamples, cam_eval.seed)
    cam_eval_journal.log_metrics(headline_numbers(summary))
    return summary


def judge_methods(
    cam_eval_summary: Table, test_predictions: Table, cam_eval: CamEvalConfig
) -> Table:
    """A sentence for each method: whether it beats the floors, and whether weights matter to it."""
    from sports_clip_pipeline.evaluation.explanations import answers_mark, judge_explanations

    limit = cam_eval.correlation_limit
    judged = judge_explanations(cam_eval_summary, limit, lambda name: METHODS.get(name, name))
    return judged.assign(answers=answers_mark(test_predictions))


def draw_maps_figure(cam_eval_summary: Table) -> Figure:
    """Differences to the better floor, a panel a measure."""
    from sports_clip_pipeline.reporting.figures.explanations import floor_panels

    return floor_panels(cam_eval_summary)


def _networks(
    predictor: Any, clip_model: Path, class_bank: ClassBank, cam_eval: CamEvalConfig
) -> Any:
    """The plan of the networks; the first prompt of each class is encoded once."""
    from sports_clip_pipeline.explain.networks import PROMPTS, NetworkPlan
    from sports_clip_pipeline.models.clip_folder import load_clip

    prompts: tuple[str, ...] = ()
    embedded = None
    if PROMPTS in cam_eval.targets:
        prompts = tuple(class_bank.prompts(label)[0] for label in predictor.classes)
        embedded = load_clip(clip_model).embed_texts(prompts)
    return NetworkPlan(
        cam_eval.targets,
        predictor,
        clip_model,
        prompts,
        embedded,
        cam_eval.layer,
        cam_eval.batch,
    )
