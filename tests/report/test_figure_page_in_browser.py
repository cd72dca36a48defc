"""A figure's page in headless Chromium: opened as a file, and as MLflow's UI shows it."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from sports_clip_pipeline.report.figure_page import compose_figure_page
from sports_clip_pipeline.report.theme import layout

pytestmark = pytest.mark.browser
POINTS = "document.querySelectorAll('.main-svg .points path').length"


@pytest.fixture
def figure_file(tmp_path):
    path = tmp_path / "curve.html"
    figure = go.Figure(go.Scatter(x=[0, 1, 2], y=[1, 2, 1], mode="markers"), layout(300))
    path.write_text(compose_figure_page(figure, "curve"), encoding="utf-8")
    return path


@pytest.fixture
def watched(browser):
    """An empty page; afterwards nothing may have failed, and nothing been asked of a network."""
    context = browser.new_context()
    page = context.new_page()
    troubles, requests = [], []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    yield page
    context.close()
    assert troubles == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_the_file_draws_its_figure(watched, figure_file):
    watched.goto(figure_file.as_uri())
    watched.wait_for_selector(".main-svg .points path", state="attached")
    assert watched.evaluate(POINTS) == 3


def test_a_sandboxed_frame_draws_it_from_a_blob(watched, figure_file):
    watched.goto("about:blank")
    watched.evaluate(
        """(html) => {
          const frame = document.createElement("iframe");
          frame.sandbox = "allow-scripts";
          frame.src = URL.createObjectURL(new Blob([html], { type: "text/html" }));
          document.body.append(frame);
        }""",
        figure_file.read_text(encoding="utf-8"),
    )
    frame = watched.frame_locator("iframe")
    frame.locator(".main-svg .points path").first.wait_for(state="attached")
    assert frame.locator(".main-svg .points path").count() == 3
