"""The page: one file that holds its figures, pictures, styles and scripts, and asks for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import plotly.graph_objects as go

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.reporting.filters import compose_filters
from sports_clip_pipeline.reporting.gallery import compose_exhibits
from sports_clip_pipeline.reporting.headline import compose_headline, repair_sentence
from sports_clip_pipeline.reporting.judged_page import compose_judged
from sports_clip_pipeline.reporting.plots import compose_plots
from sports_clip_pipeline.reporting.results import StudyResults
from sports_clip_pipeline.reporting.tables import (
    confused_table,
    duplicates_table,
    provenance_tables,
    quarantine_table,
)
from sports_clip_pipeline.reporting.theme import TONES

BUNDLE = "plotly-cartesian.min.js"
# In the order they run.
SCRIPTS = (BUNDLE, "report.js", "gallery.js", "sorting.js")
BUNDLE_SHA256 = "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a"
_REMEDY = "lower report.gallery_images or report.label_issues"
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def compose_page(results: StudyResults) -> str:
    """The report as HTML.

    Raises: UserFacingError: the page is larger than the configuration allows.
    """
    plots = compose_plots(results)
    scripts = [asset(name) for name in SCRIPTS]
    exhibits = compose_exhibits(
        results.cam_gallery, results.test_predictions, results.config.gallery_images
    )
    finetuned = results.finetune_metrics
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            study=results.config.study,
            headline=compose_headline(results),
            repaired=repair_sentence(results),
            judged=compose_judged(results),
            plots={plot.name: plot for plot in plots},
            figures={plot.name: figure_json(plot.figure) for plot in plots},
            tones=script_json(TONES),
            confused=confused_table(
                finetuned["classes"], finetuned["confusion"], results.config.confused_pairs
            ),
            exhibits=exhibits,
            filters=compose_filters(exhibits),
            explained=len({card.image for card in results.cam_gallery}),
            quarantine=quarantine_table(results.quarantine),
            duplicates=duplicates_table(results.duplicates),
            card=results.card,
            provenance=provenance_tables(results),
            style=asset("report.css"),
            scripts=scripts,
            hashes=[script_hash(script) for script in scripts],
        )
    )
    _check_size(page, results.config.max_page_mb)
    return page


def asset(name: str) -> str:
    """Text of a file beside this module, in `assets/`."""
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")


def figure_json(figure: go.Figure) -> str:
    """A figure as JSON that may stand inside a script element."""
    return script_json(json.loads(figure.to_json()))


def script_json(document: Any) -> str:
    r"""JSON whose every character is harmless inside a script element.

    >>> script_json("</script>")
    '"\\u003c/script\\u003e"'
    """
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda found: _UNSAFE[found.group()], text)


def script_hash(script: str) -> str:
    """What a content security policy calls an inline script that may run."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("sports_clip_pipeline.reporting", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _check_size(page: str, limit_mb: float) -> None:
    size_mb = len(page.encode()) / 1e6
    if size_mb > limit_mb:
        what = f"the page would have {size_mb:.1f} MB, more than report.max_page_mb = {limit_mb}"
        raise UserFacingError("report.html", what, _REMEDY)
