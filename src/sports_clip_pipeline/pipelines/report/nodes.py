"""Nodes of the `report` pipeline: figures, metrics, provenance, and the page that holds them."""

from __future__ import annotations

from typing import Any

from sports_clip_pipeline.annotations import Document, Figure, Table
from sports_clip_pipeline.pipelines.report.config import ModelCardConfig, ReportConfig

FIGURE = "_figure"


def draw_learning_curve(
    finetune_curves: Table,
    finetune_trials: Table,
    zero_shot_metrics: Document,
    report: ReportConfig,
    end_to_end_curves: Table | None = None,
) -> Figure:
    """Accuracy by share of labels, with zero-shot, chance and published numbers."""
    from sports_clip_pipeline.reporting.figures.learning import learning_curve
    from sports_clip_pipeline.reporting.highlights import compose_cast

    cast = compose_cast(finetune_curves, finetune_trials, report, end_to_end_curves)
    return learning_curve(
        finetune_curves, zero_shot_metrics, cast, end_to_end_curves, report.reference
    )


def draw_paired(
    paired_comparisons: Table, finetune_curves: Table, finetune_trials: Table, report: ReportConfig
) -> Figure:
    """Methods against the best by validation, on the same photographs and seeds."""
    from sports_clip_pipeline.reporting.figures.comparison import paired_lines
    from sports_clip_pipeline.reporting.highlights import compose_cast

    cast = compose_cast(finetune_curves, finetune_trials, report)
    return paired_lines(paired_comparisons, finetune_curves, cast)


def draw_reliability(
    reliability: Table, finetune_curves: Table, finetune_trials: Table, report: ReportConfig
) -> Figure:
    """How often answers are right, by how sure they were."""
    from sports_clip_pipeline.reporting.figures.reliability import reliability_panels
    from sports_clip_pipeline.reporting.highlights import compose_cast

    return reliability_panels(reliability, compose_cast(finetune_curves, finetune_trials, report))


def draw_class_gains(class_gains: Table) -> Figure:
    """Recall of each class by share of labels."""
    from sports_clip_pipeline.reporting.figures.gains import gains_map

    return gains_map(class_gains)


def draw_ablation(ablation: Table) -> Figure:
    """What each part of zero-shot is worth."""
    from sports_clip_pipeline.reporting.figures.judged import ablation_dots

    return ablation_dots(ablation)


def draw_price(
    price: Table, finetune_curves: Table, finetune_trials: Table, report: ReportConfig
) -> Figure:
    """Accuracy beside its price."""
    from sports_clip_pipeline.reporting.figures.judged import price_dots
    from sports_clip_pipeline.reporting.highlights import compose_cast

    return price_dots(price, compose_cast(finetune_curves, finetune_trials, report))


def collect_thumbnails(
    mislabelled: Table,
    label_queries: Table,
    sports_images: Any,
    sports_manifest: Table,
    report: ReportConfig,
) -> dict[str, bytes]:
    """Small copies of the photographs that the page shows to be looked at."""
    from sports_clip_pipeline.reporting.suspects import draw_thumbnails, foremost

    shown = (
        foremost(mislabelled, report.label_issues),
        foremost(label_queries, report.queried_images),
    )
    images = [image for table in shown if not table.empty for image in table["image"]]
    return draw_thumbnails(images, sports_images, sports_manifest["image"], report.thumbnail_px)


def draw_training_curve(pretrain_history: Table) -> Figure:
    """Loss and validation recall over epochs."""
    from sports_clip_pipeline.reporting.figures.training import training_curve

    return training_curve(pretrain_history)


def draw_retrieval(retrieval_metrics: Document) -> Figure:
    """Recall at 1, 5 and 10, both ways."""
    from sports_clip_pipeline.reporting.figures.training import retrieval_bars

    return retrieval_bars(retrieval_metrics)


def draw_confusion(scores: Document) -> Figure:
    """Heat map of one confusion matrix."""
    from sports_clip_pipeline.reporting.figures.classes import confusion_map

    return confusion_map(scores["classes"], scores["confusion"])


def draw_per_class(zero_shot_metrics: Document, finetune_metrics: Document) -> Figure:
    """F1 of each class, zero-shot beside fine-tuned."""
    from sports_clip_pipeline.reporting.figures.classes import per_class_dumbbells

    return per_class_dumbbells(zero_shot_metrics["per_class"], finetune_metrics["per_class"])


def draw_data_audit(ingest_audit: Document) -> Figure:
    """Photographs in each part of the study."""
    from sports_clip_pipeline.reporting.figures.audit import part_bars
    from sports_clip_pipeline.reporting.results import data_parts

    return part_bars(data_parts(ingest_audit))


def draw_caption_mentions(tokenize_audit: Document) -> Figure:
    """Captions that mention each class."""
    from sports_clip_pipeline.reporting.figures.audit import mention_bars
    from sports_clip_pipeline.reporting.results import caption_mentions

    return mention_bars(caption_mentions(tokenize_audit))


def gather_metrics(
    zero_shot_metrics: Document,
    retrieval_metrics: Document,
    finetune_curves: Table,
    end_to_end_curves: Table,
) -> Document:
    """The headline numbers as one nested object."""
    from sports_clip_pipeline.reporting.metrics import compose_metrics

    return compose_metrics(zero_shot_metrics, retrieval_metrics, finetune_curves, end_to_end_curves)


def describe_provenance(
    ingest_audit: Document, embed_audit: Document, finetune_trials: Table, report: ReportConfig
) -> Document:
    """Commit, versions, seeds, data digest and machine of this run."""
    from sports_clip_pipeline.reporting.provenance import (
        describe_towers,
        machine,
        package_versions,
    )
    from sports_clip_pipeline.revision import git_state

    return {
        **git_state(),
        "study": report.study,
        "versions": package_versions(report.packages),
        "seeds": sorted({int(seed) for seed in finetune_trials["seed"]}),
        "data_digest": ingest_audit["data_digest"],
        "device": machine(),
        "towers": describe_towers(embed_audit),
    }


def describe_model(report: ReportConfig, model_card: ModelCardConfig, **facts: Any) -> Any:
    """The model card: what the shipped classifier is, what it is for, how good, from what."""
    from sports_clip_pipeline.reporting.model_card import CardFacts, compose_model_card

    return compose_model_card(CardFacts(report=report, model_card=model_card, **facts))


def write_model_card(card: Any) -> str:
    """The model card as Markdown."""
    from sports_clip_pipeline.reporting.model_card_markdown import card_markdown

    return card_markdown(card)


def write_report(report: ReportConfig, **results: Any) -> str:
    """The page: everything that the other pipelines left, and the figures above.

    Tables of the judgement and their figures may be missing.
    """
    from sports_clip_pipeline.reporting.judgement import JUDGED, Judgement
    from sports_clip_pipeline.reporting.page import compose_page
    from sports_clip_pipeline.reporting.results import StudyResults

    figures = {name: value for name, value in results.items() if name.endswith(FIGURE)}
    judged = {name: value for name, value in results.items() if name in JUDGED}
    rest = {name: v for name, v in results.items() if name not in {*figures, *judged}}
    study = StudyResults(config=report, figures=figures, judged=Judgement(**judged), **rest)
    return compose_page(study)
