"""Starting gradio's server with everything off that this page does without."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from sports_clip_pipeline.demo.gate import Gate
from sports_clip_pipeline.demo.page import MOST_UPLOAD, STYLE, theme


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
