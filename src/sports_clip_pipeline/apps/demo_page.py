"""What gradio has no component for, as HTML. Whatever was typed is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from sports_clip_pipeline.apps.demo_study import (
    Answer,
    Answerer,
    Answers,
    FinishedStudy,
    InvalidInput,
    Map,
    open_photograph,
    parse_names,
)
from sports_clip_pipeline.apps.gate import Gate
from sports_clip_pipeline.report.figures import FONT, GRID, INK, MUTED, PAPER, SERIES
from sports_clip_pipeline.report.formatting import class_name, count, fraction_name, percent

SHOWN = 5


def header_html(study: FinishedStudy) -> str:
    """Title and one sentence."""
    classes = count(len(study.bank.labels))
    return (
        "<header><h1>Two answers to one photograph</h1>"
        f"<p>Study <b>{html.escape(study.name)}</b>, {classes} classes. Zero-shot compares the "
        "photograph with the class names that you type. The fine-tuned classifier has learned the "
        "study’s own classes. Everything is computed on this machine.</p></header>"
    )


def waiting_html() -> str:
    """What stands in the place of answers before there are any."""
    return '<p class="waiting">Drop a photograph, or choose one of those below it.</p>'


def error_html(sentence: str) -> str:
    """A sentence in the place of the answers."""
    return f'<p class="refusal" role="alert">{html.escape(sentence)}</p>'


def answers_html(given: Answers, study: FinishedStudy) -> str:
    """Both answers, side by side where there is room."""
    known = f"{count(len(study.bank.labels))} classes of the study"
    return (
        '<div class="answers">'
        + _answer("Zero-shot", "no labels, any class names", given.zero_shot)
        + _answer("Fine-tuned", f"{made_of(study)}; {known} alone", given.finetuned)
        + "</div>"
    )


def made_of(study: FinishedStudy) -> str:
    """How many labels the fine-tuned classifier has seen."""
    origin = study.finetuned.origin
    labels, fraction = origin.get("labels"), origin.get("fraction")
    if labels is None or fraction is None:
        return "labels of the study"
    return f"{count(labels)} labels ({fraction_name(fraction)})"


def _answer(title: str, about: str, answer: Answer) -> str:
    name, probability = answer.ranked[0]
    return (
        f'<section class="answer" aria-label="{title}">'
        f'<h2>{title}</h2><p class="about">{html.escape(about)}</p>'
        f'<p class="says"><strong>{_shown(name)}</strong> <span>{percent(probability)}</span></p>'
        f"{_table(title, answer.ranked[:SHOWN])}{_rest(title, answer.ranked[SHOWN:])}"
        f"{_figure(answer)}</section>"
    )


def _table(title: str, rows: Sequence[tuple[str, float]]) -> str:
    return (
        f'<table><caption class="unseen">{title}: probabilities</caption>'
        '<thead class="unseen"><tr><th scope="col">Class</th><th scope="col">Probability</th></tr>'
        f"</thead><tbody>{''.join(_row(*row) for row in rows)}</tbody></table>"
    )


def _row(name: str, probability: float) -> str:
    return (
        f'<tr><th scope="row">{_shown(name)}</th><td><i style="width:{100 * probability:.1f}%">'
        f"</i><span>{percent(probability)}</span></td></tr>"
    )


def _rest(title: str, rows: Sequence[tuple[str, float]]) -> str:
    if not rows:
        return ""
    names = "name" if len(rows) == 1 else "names"
    return f"<details><summary>{len(rows)} more {names}</summary>{_table(title, rows)}</details>"


def _figure(answer: Answer) -> str:
    if answer.map is None:
        return f'<p class="note">{html.escape(answer.no_map)}</p>'
    return (
        f'<figure><img src="{_data(answer.map)}" alt="Class activation map of the photograph for '
        f'{_shown(answer.map.name)}"><figcaption>{html.escape(answer.map.method)}: bright places '
        f"speak for “{_shown(answer.map.name)}”.</figcaption></figure>"
    )


def _data(map_: Map) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(map_.jpeg).decode('ascii')}"


def _shown(name: str) -> str:
    return html.escape(class_name(name))


MOST_UPLOAD = "20mb"
WAITING_LINE = 8
ONE_AT_A_TIME = "answers"  # maps put hooks into the towers, which two questions may not share
KEPT_S = 900  # uploads are deleted after so many seconds
STYLE = Path(__file__).parent / "assets" / "demo.css"


def build_page(answerer: Answerer, uploads: Path) -> gr.Blocks:
    """The page of one study.

    Args:
        uploads: the only folder that photographs are read from.
    """
    study = answerer.study
    own_names = ", ".join(study.names)

    def answer(sent: Any, typed: Any) -> str:
        """HTML of both answers, or a sentence."""
        try:
            content = uploaded_bytes(sent, uploads)
            given = answerer.answer(open_photograph(content), parse_names(str(typed)))
            return answers_html(given, study)
        except InvalidInput as refusal:
            return error_html(str(refusal))

    def choose(typed: str, chosen: gr.SelectData) -> tuple[Any, str]:
        """A photograph of the study, and the answers to it."""
        place = chosen.index
        if not isinstance(place, int) or not 0 <= place < len(study.samples):
            return None, error_html("There is no such photograph.")
        photo = study.samples[place][0]
        try:
            return photo, answers_html(answerer.answer(photo, parse_names(typed)), study)
        except InvalidInput as refusal:
            return photo, error_html(str(refusal))

    with gr.Blocks(
        title=f"Two answers to one photograph: {study.name}",
        analytics_enabled=False,
        delete_cache=(KEPT_S, KEPT_S),
    ) as page:
        gr.HTML(header_html(study), elem_id="head")
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=2, min_width=300):
                photo = gr.Image(
                    label="Photograph",
                    type="filepath",
                    format="png",
                    sources=["upload", "clipboard"],
                    buttons=[],
                    height=260,
                    elem_id="photo",
                    alt_text="The photograph that was chosen",
                )
                samples = gr.Gallery(
                    [(picture, class_name(label)) for picture, label in study.samples],
                    label="Evaluation photographs of the study, with their labels",
                    columns=4,
                    height="auto",
                    allow_preview=False,
                    buttons=[],
                    interactive=False,
                    format="jpeg",
                    elem_id="samples",
                )
                names = gr.Textbox(
                    own_names,
                    label="Class names for zero-shot",
                    info="Any words, separated by commas or lines.",
                    lines=3,
                    max_lines=8,
                    max_length=4000,
                    elem_id="names",
                )
                with gr.Row(elem_id="actions"):
                    ask = gr.Button("Answer", variant="primary", elem_id="ask")
                    reset = gr.Button("The study’s own names", elem_id="reset")
            with gr.Column(scale=3, min_width=300):
                said = gr.HTML(waiting_html(), elem_id="said")
        asked: dict[str, Any] = {
            "fn": answer, "inputs": [photo, names], "outputs": said,
            "preprocess": False, "api_visibility": "private", "show_progress": "minimal",
            "concurrency_id": ONE_AT_A_TIME,
        }  # fmt: skip
        photo.upload(**asked)
        ask.click(**asked)
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        samples.select(choose, names, [photo, said], concurrency_id=ONE_AT_A_TIME, **quiet)
        photo.clear(waiting_html, None, said, **quiet)
        reset.click(lambda: own_names, None, names, **quiet)
    page.queue(max_size=WAITING_LINE, default_concurrency_limit=1, api_open=False)
    return page


def uploaded_bytes(sent: Any, uploads: Path) -> bytes:
    """The bytes of a file that was uploaded here.

    Raises: InvalidInput: nothing was uploaded, or the file named is not in the upload folder.
    """
    if sent is None:
        raise InvalidInput("Choose a photograph first.")
    path = sent.get("path") if isinstance(sent, dict) else getattr(sent, "path", None)
    named = Path(path) if isinstance(path, str) and "\0" not in path else None
    if named is None or named.is_symlink() or not named.is_file():
        raise InvalidInput("The photograph is no longer here; send it again.")
    if not named.resolve().is_relative_to(uploads.resolve()):
        raise InvalidInput("That file was not uploaded to this page.")
    return named.read_bytes()


def theme() -> gr.themes.Base:
    """The report's colours and the system's fonts; nothing is fetched."""
    base = gr.themes.Base(font=["sans-serif"], font_mono=["monospace"], radius_size="none")
    base.font = FONT  # gradio would quote `system-ui`, which then names no font
    tones = {
        "body_background_fill": PAPER,
        "body_text_color": INK,
        "body_text_color_subdued": MUTED,
        "block_background_fill": PAPER,
        "block_border_color": GRID,
        "block_label_background_fill": PAPER,
        "block_label_text_color": MUTED,
        "block_title_text_color": INK,
        "block_info_text_color": MUTED,
        "input_background_fill": PAPER,
        "input_border_color": ("#8b9098", "#6c747e"),
        "border_color_primary": GRID,
        "color_accent": SERIES[0],
        "button_primary_background_fill": INK,
        "button_primary_background_fill_hover": MUTED,
        "button_primary_text_color": PAPER,
        "button_secondary_background_fill": PAPER,
        "button_secondary_border_color": ("#8b9098", "#6c747e"),
        "button_secondary_text_color": INK,
        "background_fill_primary": PAPER,
        "background_fill_secondary": PAPER,
    }
    light = {name: pair[0] for name, pair in tones.items()}
    dark = {f"{name}_dark": pair[1] for name, pair in tones.items() if name != "color_accent"}
    return base.set(**light, **dark)


def launch(page: gr.Blocks, host: str, port: int, uploads: Path) -> None:
    """Serve in a thread of its own, behind the gate."""
    page.launch(
        server_name=host,
        server_port=port,
        theme=theme(),
        css_paths=STYLE,
        app_kwargs={
            "middleware": [Middleware(Gate, uploads=uploads)],
            "docs_url": None,
            "redoc_url": None,
            "openapi_url": None,
        },
        max_file_size=MOST_UPLOAD,
        allowed_paths=[],
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        share=False,
        inline=False,
        max_threads=4,
        prevent_thread_lock=True,
        quiet=True,
        show_error=False,
    )
