"""One figure as a page of its own, for places that show HTML files one by one.

MLflow's UI shows an HTML artifact as a blob in a sandboxed frame, where no address relative to the
artifact means anything: whatever the page needs must stand in it. The plotly bundle does, packed,
at less than half of its 1.5 MB.
"""

from __future__ import annotations

import base64
import gzip
from functools import cache

import plotly.graph_objects as go
from jinja2 import Template

from sports_clip_pipeline.report.page import BUNDLE, asset, figure_json, script_hash
from sports_clip_pipeline.report.theme import PAPER

_SCRIPT = """
(async () => {
  const text = (id) => document.getElementById(id).textContent;
  const packed = Uint8Array.from(atob(text("bundle")), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const source = new Blob([await new Response(stream).text()], { type: "text/javascript" });
  const script = document.createElement("script");
  script.src = URL.createObjectURL(source);
  script.onload = () => {
    const { data, layout } = JSON.parse(text("figure"));
    Plotly.newPlot("plot", data, layout, { responsive: true, displaylogo: false });
  };
  document.head.append(script);
})();
"""
_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: blob:; "
    f"style-src 'unsafe-inline'; script-src blob: {script_hash(_SCRIPT)}"
)
_PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<title>{{ title | e }}</title>
<link rel="icon" href="data:,">
<style>body { margin: 1rem; background: {{ paper }} }</style>
</head>
<body>
<div id="plot"></div>
{{ below }}
<script id="figure" type="application/json">{{ figure }}</script>
<script id="bundle" type="text/plain">{{ bundle }}</script>
<script>{{ script }}</script>
</body>
</html>
"""
)


def compose_figure_page(figure: go.Figure, title: str, below: str = "") -> str:
    """The figure as HTML that asks nothing of a network, wherever the file is shown.

    Args:
        figure: in the light tones of `theme`; it may use what the bundle can draw.
        title: of the browser's window.
        below: HTML that follows the figure, whatever is not ours in it escaped.
    """
    return _PAGE.render(
        title=title,
        below=below,
        policy=_POLICY,
        paper=PAPER[0],
        figure=figure_json(figure),
        bundle=_packed_bundle(),
        script=_SCRIPT,
    )


@cache
def _packed_bundle() -> str:
    """The plotly bundle, gzipped, in base64."""
    return base64.b64encode(gzip.compress(asset(BUNDLE).encode(), mtime=0)).decode("ascii")
