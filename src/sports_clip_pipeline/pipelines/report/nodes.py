"""Nodes of the `report` pipeline: metrics, provenance, model card, sections, page."""

from typing import Any

from sports_clip_pipeline.pipelines.report.config import ModelCardConfig, ReportConfig
from sports_clip_pipeline.pipelines.wiring import Document, Table


def collect_thumbnails(
    label_issues: Table,
    label_queries: Table,
    sports_images: Any,
    sports_manifest: Table,
    report: ReportConfig,
) -> dict[str, bytes]:
    """JPEG thumbnails of the label issues and of the images to label next."""
    from sports_clip_pipeline.report.data_sections import draw_thumbnails, top_ranked

    shown = (
        top_ranked(label_issues, report.label_issues),
        top_ranked(label_queries, report.queried_images),
    )
    images = [image for table in shown if not table.empty for image in table["image"]]
    return draw_thumbnails(images, sports_images, sports_manifest["image"], report.thumbnail_px)


def gather_metrics(
    zero_shot_metrics: Document,
    retrieval_metrics: Document,
    finetune_curves: Table,
    end_to_end_curves: Table,
) -> Document:
    """The headline numbers as one nested object."""
    from sports_clip_pipeline.report.metrics import compose_metrics

    return compose_metrics(zero_shot_metrics, retrieval_metrics, finetune_curves, end_to_end_curves)


def describe_provenance(
    ingest_audit: Document, embed_audit: Document, finetune_trials: Table, report: ReportConfig
) -> Document:
    """Commit, versions, seeds, data digest and machine of this run."""
    from sports_clip_pipeline.io.fingerprint import git_state
    from sports_clip_pipeline.report import data_sections

    return {
        **git_state(),
        "study": report.study,
        "versions": data_sections.package_versions(report.packages),
        "seeds": sorted({int(seed) for seed in finetune_trials["seed"]}),
        "data_digest": ingest_audit["data_digest"],
        "device": data_sections.machine(),
        "encoders": data_sections.describe_encoders(embed_audit),
    }


def make_sections(report: ReportConfig, model_card: ModelCardConfig, **results: Any) -> Document:
    """The sections of the page as `content`, and the figure of each one under its name.

    A figure is empty where the study has no data for it.
    """
    import plotly.graph_objects as go

    from sports_clip_pipeline.pipelines.report.pipeline import FIGURES
    from sports_clip_pipeline.report.page import make_content
    from sports_clip_pipeline.report.sections import StudyResults

    content = make_content(StudyResults(report, model_card, **results))
    figures = {name: section.figure for name, section in content.sections.items()}
    return {"content": content, **{name: figures.get(name) or go.Figure() for name in FIGURES}}


def write_model_card(report_content: Any) -> str:
    """The model card as Markdown."""
    from sports_clip_pipeline.report.page import card_markdown

    return card_markdown(report_content.card)


def write_report(report_content: Any, report: ReportConfig) -> str:
    """The page, composed of the sections."""
    from sports_clip_pipeline.report.page import compose_page

    return compose_page(report_content, report)
