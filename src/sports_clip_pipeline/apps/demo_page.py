"""The demo's gradio page, and the middleware before it that checks every request.

gradio lets a client name a file of its upload folder, or an address that the server then fetches.
The middleware passes only files that this server stored for the client, and only requests to
127.0.0.1: a page elsewhere cannot make a browser ask under another host name (DNS rebinding).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from sports_clip_pipeline.apps.demo_study import (
    FinishedStudy,
    InvalidInput,
    Prediction,
    open_image,
    parse_names,
)
from sports_clip_pipeline.report.figures import FONT, GRID, INK, MUTED, PAPER, SERIES
from sports_clip_pipeline.report.formatting import class_name
from sports_clip_pipeline.report.rendering import template

MAX_JSON_BYTES = 64 * 1024
_MAX_UPLOAD, _QUEUE_SIZE, _UPLOADS_KEPT_S = "20mb", 8, 900
_CONCURRENCY_ID = "predictions"  # maps hook into the encoders: one prediction at a time
_ASSETS = Path(__file__).parent / "assets"
_FIELD_BORDER = ("#8b9098", "#6c747e")


def _macros() -> Any:
    """The macros of `demo.html.j2`; whatever was typed is escaped."""
    return template("demo.html.j2", "apps/assets").module


def error_html(sentence: str) -> str:
    """A sentence in the place of the predictions."""
    return str(_macros().error(sentence))


def predictions_html(predictions: tuple[Prediction, Prediction], study: FinishedStudy) -> str:
    """Zero-shot and fine-tuned predictions, side by side where there is room."""
    training = study.finetuned.origin, len(study.bank.labels)
    return str(_macros().predictions(*predictions, *training))


def build_page(study: FinishedStudy, uploads: Path) -> gr.Blocks:
    """The page of one study.

    Args:
        uploads: the only folder that images are read from.
    """
    own_names = ", ".join(study.names)

    def predict(upload: Any, names: Any) -> str:
        """HTML of both predictions, or a sentence."""
        try:
            image = open_image(uploaded_bytes(upload, uploads))
            return predictions_html(study.predict(image, parse_names(str(names))), study)
        except InvalidInput as error:
            return error_html(str(error))

    def choose(names: str, chosen: gr.SelectData) -> tuple[Any, str]:
        """An image of the study, and the predictions for it."""
        index = chosen.index
        if not isinstance(index, int) or not 0 <= index < len(study.samples):
            return None, error_html("There is no such image.")
        image = study.samples[index][0]
        try:
            return image, predictions_html(study.predict(image, parse_names(names)), study)
        except InvalidInput as error:
            return image, error_html(str(error))

    waiting = str(_macros().waiting())
    with gr.Blocks(
        title=f"Zero-shot and fine-tuned: {study.name}",
        analytics_enabled=False,
        delete_cache=(_UPLOADS_KEPT_S, _UPLOADS_KEPT_S),
    ) as page:
        header = _macros().header(study.name, len(study.bank.labels))
        gr.HTML(str(header), elem_id="head")
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=2, min_width=300):
                image = gr.Image(
                    label="Image",
                    type="filepath",
                    format="png",
                    sources=["upload", "clipboard"],
                    buttons=[],
                    height=260,
                    elem_id="photo",
                    alt_text="The image that was chosen",
                )
                samples = gr.Gallery(
                    [(picture, class_name(label)) for picture, label in study.samples],
                    label="Test images of the study, with their labels",
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
                    ask = gr.Button("Predict", variant="primary", elem_id="ask")
                    reset = gr.Button("The study’s own names", elem_id="reset")
            with gr.Column(scale=3, min_width=300):
                output = gr.HTML(waiting, elem_id="predictions")
        event: dict[str, Any] = {
            "fn": predict, "inputs": [image, names], "outputs": output,
            "preprocess": False, "api_visibility": "private", "show_progress": "minimal",
            "concurrency_id": _CONCURRENCY_ID,
        }  # fmt: skip
        image.upload(**event)
        ask.click(**event)
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        samples.select(choose, names, [image, output], concurrency_id=_CONCURRENCY_ID, **quiet)
        image.clear(lambda: waiting, None, output, **quiet)
        reset.click(lambda: own_names, None, names, **quiet)
    page.queue(max_size=_QUEUE_SIZE, default_concurrency_limit=1, api_open=False)
    return page


def uploaded_bytes(upload: Any, uploads: Path) -> bytes:
    """The bytes of an uploaded file.

    Raises: InvalidInput: nothing was uploaded, or the file named is not in the upload folder.
    """
    if upload is None:
        raise InvalidInput("Choose an image first.")
    path = upload.get("path") if isinstance(upload, dict) else getattr(upload, "path", None)
    if path is None or not is_upload(path, uploads):
        raise InvalidInput("The image is not among the uploads; send it again.")
    return Path(path).read_bytes()


def is_upload(path: Any, uploads: Path) -> bool:
    """Whether a path names a regular file, no link, inside the upload folder."""
    if not isinstance(path, str) or "\0" in path:
        return False
    file = Path(path)
    inside = file.is_absolute() and file.resolve().is_relative_to(uploads.resolve())
    return inside and file.is_file() and not file.is_symlink()


def theme() -> gr.themes.Base:
    """The report's colours and the system's fonts; nothing is fetched."""
    base = gr.themes.Base(font=["sans-serif"], font_mono=["monospace"], radius_size="none")
    base.font = FONT  # gradio would quote `system-ui`, which then names no font
    names = {
        PAPER: "body_background_fill block_background_fill block_label_background_fill "
        "input_background_fill button_primary_text_color button_secondary_background_fill "
        "background_fill_primary background_fill_secondary",
        INK: "body_text_color block_title_text_color button_primary_background_fill "
        "button_secondary_text_color",
        MUTED: "body_text_color_subdued block_label_text_color block_info_text_color "
        "button_primary_background_fill_hover",
        GRID: "block_border_color border_color_primary",
        _FIELD_BORDER: "input_border_color button_secondary_border_color",
    }
    tones = {name: pair for pair, text in names.items() for name in text.split()}
    light = {name: pair[0] for name, pair in tones.items()}
    dark = {f"{name}_dark": pair[1] for name, pair in tones.items()}
    return base.set(**light, **dark, color_accent=SERIES[0][0])


def launch(page: gr.Blocks, host: str, port: int, uploads: Path) -> None:
    """Serve in a thread, behind the middleware."""
    page.launch(
        server_name=host,
        server_port=port,
        theme=theme(),
        css_paths=_ASSETS / "demo.css",
        app_kwargs={
            "middleware": [Middleware(RequestCheck, uploads=uploads)],
            "docs_url": None,
            "redoc_url": None,
            "openapi_url": None,
        },
        max_file_size=_MAX_UPLOAD,
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


_HOSTS = ("127.0.0.1", "localhost")
# gradio's page has inline scripts and styles; nothing may come from, or go to, elsewhere.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'self'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class RequestCheck(BaseHTTPMiddleware):
    """Middleware: rejects other hosts, long bodies and files that were not uploaded.

    Args:
        app: the application behind it.
        uploads: the folder in which this server stores uploads.
    """

    def __init__(self, app: ASGIApp, uploads: Path) -> None:
        super().__init__(app)
        self.uploads = uploads

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Pass the request on, or reject it with one sentence; the response gets the policy."""
        try:
            await self._check(request)
            response = await call_next(request)
        except HTTPException as error:
            response = JSONResponse({"error": error.detail}, error.status_code)
        response.headers.update(_HEADERS)
        return response

    async def _check(self, request: Request) -> None:
        """Raises: HTTPException: the request is rejected."""
        if request.headers.get("host", "").rsplit(":", 1)[0] not in _HOSTS:
            raise HTTPException(403, "This page is served to 127.0.0.1 alone.")
        # Uploads are forms, whose size gradio limits.
        form = request.headers.get("content-type", "").startswith("multipart/form-data")
        if request.method != "POST" or form:
            return
        length = request.headers.get("content-length", "")  # the server holds the body to it
        is_known = length.isdecimal() and "transfer-encoding" not in request.headers
        if not is_known or int(length) > MAX_JSON_BYTES:
            raise HTTPException(413, "A request has up to 64 KiB; images are uploaded.")
        try:
            paths = list(_paths(await request.json()))
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, "The request is no JSON.") from error
        if not all(is_upload(path, self.uploads) for path in paths):
            raise HTTPException(403, "The request names a file that was not uploaded here.")


def _paths(value: Any) -> Iterator[Any]:
    """Every non-empty `path` anywhere in a JSON value."""
    if isinstance(value, dict):
        if value.get("path"):
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _paths(part)
