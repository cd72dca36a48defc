from __future__ import annotations

import re

import plotly.graph_objects as go

from sports_clip_pipeline.report.figure_page import compose_figure_page
from sports_clip_pipeline.report.theme import layout

FIGURE = go.Figure(go.Scatter(x=[0, 1], y=[1, 2], name="</script>"), layout(300))


def test_the_page_names_no_address_to_load_from() -> None:
    page = compose_figure_page(FIGURE, "curve")
    shell = re.sub(r'(<script id="bundle"[^>]*>)[^<]*', r"\1", page)
    assert not re.search(r"https?:|//\w|\bsrc=|@import", shell)
    assert "default-src 'none'" in shell


def test_words_of_a_figure_cannot_leave_their_place() -> None:
    page = compose_figure_page(FIGURE, "<b>curve</b>")
    assert page.count("</script>") == 3
    assert "<title>&lt;b&gt;curve&lt;/b&gt;</title>" in page


def test_the_page_is_small_and_the_same_each_time() -> None:
    page = compose_figure_page(FIGURE, "curve")
    assert page == compose_figure_page(FIGURE, "curve")
    assert len(page) < 750_000
