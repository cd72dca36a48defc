from __future__ import annotations

import math

import pandas as pd

from sports_clip_pipeline.reporting.figures.explanations import baseline_panels
from sports_clip_pipeline.reporting.theme import TONES


def summary() -> pd.DataFrame:
    rows = [
        (target, method, kind, measure, 40, "centre", 0.1, 0.05, 0.2, method == "gradcam")
        for target in ("classifier", "prompts")
        for method in ("gradcam", "guided")
        for kind in ("all", "wrong")
        for measure in ("road", "insertion", "deletion")
    ]
    rows.append(("classifier", "centre", "all", "road", 40, "", *[math.nan] * 3, False))
    names = (
        "target", "method", "subset", "measure", "images", "baseline", "difference",
        "difference_low", "difference_high", "beats_baselines",
    )  # fmt: skip
    return pd.DataFrame(rows, columns=list(names))


def test_each_measure_is_a_panel_with_a_zero_line_and_a_series_a_target():
    figure = baseline_panels(summary())
    assert len(figure.data) == 3 * (1 + 2)
    dots = [trace for trace in figure.data if trace.mode == "markers"]
    assert {trace.name for trace in dots} == {"Classifier", "Prompts through CLIP"}
    assert list(dots[0].x) == [10.0, 10.0]
    assert list(dots[0].marker.symbol) == ["circle", "circle-open"]
    assert list(figure.layout.yaxis.ticktext) == ["GradCAM", "guided backpropagation"]
    assert sum(bool(trace.showlegend) for trace in dots) == 2


def test_it_has_only_colours_that_have_a_dark_twin():
    for trace in baseline_panels(summary()).data:
        tone = trace.marker.color if trace.mode == "markers" else trace.line.color
        assert tone in TONES


def test_without_measures_there_is_an_empty_figure():
    assert not baseline_panels(pd.DataFrame()).data
