"""The report page, and single figures as pages: HTML files that make no network requests."""

import base64
import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import plotly.graph_objects as go

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.report.config import ReportConfig
from sports_clip_pipeline.report import (
    class_sections,
    clip_sections,
    data_sections,
    gallery,
    label_sections,
)
from sports_clip_pipeline.report.figures import PAPER, TONES
from sports_clip_pipeline.report.headline import Headline, compose_headline
from sports_clip_pipeline.report.model_card import compose_model_card
from sports_clip_pipeline.report.rendering import template
from sports_clip_pipeline.report.sections import Section, StudyResults

# The sections of the page, which `report.html.j2` places.
SECTIONS = (
    label_sections.learning_curve,
    class_sections.per_class,
    class_sections.confusion,
    class_sections.zero_shot_confusion,
    clip_sections.training_curve,
    clip_sections.retrieval,
    data_sections.data_audit,
    data_sections.rejected_files,
    data_sections.duplicates,
    data_sections.caption_mentions,
    data_sections.provenance,
)
# Field of `StudyResults` -> section that is left out where that table is empty.
OPTIONAL_SECTIONS = {
    "labels_needed": label_sections.labels_needed,
    "paired_comparisons": label_sections.paired_comparisons,
    "inference_cost": label_sections.inference_cost,
    "ablation": clip_sections.ablation,
    "transduction": clip_sections.transduction,
    "class_gains": class_sections.class_gains,
    "confusion_pairs": class_sections.confusion_pairs,
    "reliability": class_sections.reliability,
    "label_issues": data_sections.label_issues,
    "label_queries": data_sections.active_learning,
    "cam_eval_verdicts": gallery.map_quality,
}
BUNDLE = "plotly-cartesian.min.js"
SCRIPTS = (BUNDLE, "report.js", "gallery.js", "sorting.js")  # in the order they run


@dataclass(frozen=True)
class ReportContent:
    """Everything on the page.

    Attributes:
        sections: by name; those without data are missing.
        changed: what fine-tuning changed, as a sentence.
        exhibits: the gallery. explained: how many images have explanation maps altogether.
        card: values of the model card's template.
    """

    headline: Headline
    sections: dict[str, Section]
    changed: str
    exhibits: tuple[gallery.Exhibit, ...]
    explained: int
    card: dict[str, Any]


def make_content(study: StudyResults) -> ReportContent:
    """All sections of a study; those without a table or whose figure has no data are left out."""
    optional = (f for field, f in OPTIONAL_SECTIONS.items() if not getattr(study, field).empty)
    sections = [make(study) for make in (*SECTIONS, *optional)]
    most = study.config.gallery_images
    return ReportContent(
        headline=compose_headline(study),
        sections={s.name: s for s in sections if s.figure is None or s.figure.data},
        changed=class_sections.changed_predictions(study),
        exhibits=gallery.compose_exhibits(study.cam_gallery, study.test_predictions, most),
        explained=len({card.image for card in study.cam_gallery}),
        card=compose_model_card(study),
    )


def compose_page(content: ReportContent, config: ReportConfig) -> str:
    """The report as HTML.

    Raises: UserFacingError: the page is larger than the configuration allows.
    """
    scripts = [asset(name) for name in SCRIPTS]
    figures = {name: s.figure for name, s in content.sections.items() if s.figure is not None}
    page = template("report.html.j2").render(
        study=config.study,
        content=content,
        filters=gallery.compose_filters(content.exhibits),
        figures={name: figure_json(figure) for name, figure in figures.items()},
        tones=TONES,
        style=asset("report.css"),
        scripts=scripts,
        hashes=[script_hash(script) for script in scripts],
    )
    size_mb = len(page.encode()) / 1e6
    if size_mb > config.max_page_mb:
        limit = f"report.max_page_mb = {config.max_page_mb}"
        what = f"the page would have {size_mb:.1f} MB, more than {limit}"
        remedy = "lower report.gallery_images or report.label_issues"
        raise UserFacingError("report.html", what, remedy)
    return page


def card_markdown(card: dict[str, Any]) -> str:
    """The model card as Markdown, as GitHub and model hubs show it."""
    return template("model_card.md.j2").render(card=card)


def compose_figure_page(figure: go.Figure, title: str) -> str:
    """One figure as an HTML page of its own.

    MLflow's UI shows an HTML artifact as a blob in a sandboxed frame, where relative addresses mean
    nothing: the plotly bundle is in the page, gzipped to less than half of its 1.5 MB.

    Args:
        figure: in the light colours of `figures`.
        title: of the browser's window.
    """
    script = asset("figure.js")
    return template("figure.html.j2").render(
        title=title,
        hash=script_hash(script),
        paper=PAPER[0],
        figure=figure_json(figure),
        bundle=_packed_bundle(),
        script=script,
    )


@cache
def _packed_bundle() -> str:
    """The plotly bundle, gzipped, in base64."""
    return base64.b64encode(gzip.compress(asset(BUNDLE).encode(), mtime=0)).decode("ascii")


def asset(name: str) -> str:
    """Text of a file in `assets/`."""
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")


def figure_json(figure: go.Figure) -> Any:
    """A figure as JSON types."""
    return json.loads(figure.to_json())


def script_hash(script: str) -> str:
    """The hash by which a content security policy allows an inline script."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
