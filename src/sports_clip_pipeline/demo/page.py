"""The page: controls on the left, answers on the right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from sports_clip_pipeline.demo import markup
from sports_clip_pipeline.demo.answers import Answerer, open_photograph
from sports_clip_pipeline.demo.names import Refusal, parse_names
from sports_clip_pipeline.report.formatting import class_name
from sports_clip_pipeline.report.theme import FONT, GRID, INK, MUTED, PAPER, SERIES

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
            return markup.answers(given, study)
        except Refusal as refusal:
            return markup.refusal(str(refusal))

    def choose(typed: str, chosen: gr.SelectData) -> tuple[Any, str]:
        """A photograph of the study, and the answers to it."""
        place = chosen.index
        if not isinstance(place, int) or not 0 <= place < len(study.samples):
            return None, markup.refusal("There is no such photograph.")
        photo = study.samples[place][0]
        try:
            return photo, markup.answers(answerer.answer(photo, parse_names(typed)), study)
        except Refusal as refusal:
            return photo, markup.refusal(str(refusal))

    with gr.Blocks(
        title=f"Two answers to one photograph: {study.name}",
        analytics_enabled=False,
        delete_cache=(KEPT_S, KEPT_S),
    ) as page:
        gr.HTML(markup.head(study), elem_id="head")
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
                said = gr.HTML(markup.waiting(), elem_id="said")
        asked: dict[str, Any] = {
            "fn": answer, "inputs": [photo, names], "outputs": said,
            "preprocess": False, "api_visibility": "private", "show_progress": "minimal",
            "concurrency_id": ONE_AT_A_TIME,
        }  # fmt: skip
        photo.upload(**asked)
        ask.click(**asked)
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        samples.select(choose, names, [photo, said], concurrency_id=ONE_AT_A_TIME, **quiet)
        photo.clear(markup.waiting, None, said, **quiet)
        reset.click(lambda: own_names, None, names, **quiet)
    page.queue(max_size=WAITING_LINE, default_concurrency_limit=1, api_open=False)
    return page


def uploaded_bytes(sent: Any, uploads: Path) -> bytes:
    """The bytes of a file that was uploaded here.

    Raises: Refusal: nothing was uploaded, or what is named does not stand in the upload folder.
    """
    if sent is None:
        raise Refusal("Choose a photograph first.")
    path = sent.get("path") if isinstance(sent, dict) else getattr(sent, "path", None)
    named = Path(path) if isinstance(path, str) and "\0" not in path else None
    if named is None or named.is_symlink() or not named.is_file():
        raise Refusal("The photograph is no longer here; send it again.")
    if not named.resolve().is_relative_to(uploads.resolve()):
        raise Refusal("That file was not uploaded to this page.")
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
