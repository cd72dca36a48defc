from __future__ import annotations

import io
import math

import pandas as pd
import pytest
from PIL import Image

from sports_clip_pipeline.explain.verdicts import predictions_fingerprint
from sports_clip_pipeline.report import image_sections as sections
from sports_clip_pipeline.report.theme import TONES
from tests.report.study import make_page, make_small_study

ISSUES = pd.DataFrame(
    {
        "image": ["late.jpg", "first.jpg"],
        "label": ["chess", "ice_hockey"],
        "suggested": ["wwe", "hockey"],
        "self_confidence": [0.2, 0.01],
        "rank": [2, 1],
    }
)


class Store:
    """Images by row; row n is n + 1 hundred pixels wide."""

    def get(self, i):
        return Image.new("RGB", (100 * (i + 1), 50))


def test_thumbnails_keep_their_aspect_ratio_and_are_small():
    drawn = sections.draw_thumbnails(["b", "b"], Store(), ["a", "b"], 96)

    assert list(drawn) == ["b"]
    assert Image.open(io.BytesIO(drawn["b"])).size == (96, 24)
    with pytest.raises(KeyError, match="c"):
        sections.draw_thumbnails(["c"], Store(), ["a"], 96)


def test_label_issues_come_by_rank_and_say_both_labels():
    study = make_small_study(label_issues=ISSUES, thumbnails={"first.jpg": b"jpeg"})
    first, late = sections.label_issues(study).thumbnails

    assert first.title == "hockey?"
    assert first.lines == ("labelled ice hockey, 1.0\u00a0% likely",)
    assert first.src.startswith("data:image/jpeg;base64,") and first.alt
    assert late.src == ""
    assert list(sections.top_ranked(ISSUES, 1)["image"]) == ["first.jpg"]


def test_an_image_to_label_next_says_its_rank_and_the_reason():
    queries = pd.DataFrame(
        {"image": ["x.jpg"], "rank": [1], "reason": ["undecided between ice_hockey and wwe"],
         "predicted": ["wwe"], "probability": [0.412], "margin": [0.0]}
    )  # fmt: skip

    (one,) = sections.active_learning(make_small_study(queries=queries)).thumbnails

    assert one.title == "1. wwe?"
    assert one.lines == ("confidence 41.2\u00a0%", "undecided between ice hockey and wwe")


def verdicts(answers: str = "") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "target": ["classifier", "prompts"],
            "method": ["gradcam", "guided"],
            "images": [200, 200],
            "beats_baselines": [True, False],
            "measures_beaten": ["road, insertion, deletion", ""],
            "depends_on_weights": [True, None],
            "highest_correlation": [0.31, math.nan],
            "sentence": ["GradCAM beats.", "Guided <b>does not beat</b> the baseline."],
            "answers": answers,
        }
    )


def test_map_quality_has_a_row_for_each_method_and_notes_those_that_fall_short():
    section = sections.map_quality(make_small_study(map_verdicts=verdicts()))

    assert section.tables[0].rows[0] == (
        "GradCAM", "Classifier", "ROAD, Insertion, Deletion", "yes (rank correlation up to 0.31)",
        "200",
    )  # fmt: skip
    assert section.tables[0].rows[1][2:4] == ("none", "not measured")
    assert section.notes == ("Guided <b>does not beat</b> the baseline.",)


def test_the_page_warns_where_the_maps_are_of_an_earlier_classifier():
    current = predictions_fingerprint(make_small_study().predictions)
    for answers, warned in ((current, False), ("of others", True)):
        page = make_page(make_small_study(map_verdicts=verdicts(answers)))
        assert ("Measured on an earlier classifier" in page) == warned
        assert "<code>kedro run --pipelines=cam_eval,report</code>" in page or not warned
        assert "Guided &lt;b&gt;does not beat" in page


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
    figure = sections.map_quality_figure(summary())

    assert len(figure.data) == 3 * (1 + 2)
    points = [trace for trace in figure.data if trace.mode == "markers"]
    assert {trace.name for trace in points} == {"Classifier", "CLIP with prompts"}
    assert list(points[0].x) == [10.0, 10.0]
    assert list(points[0].marker.symbol) == ["circle", "circle-open"]
    assert {trace.xaxis for trace in points} == {"x", "x2", "x3"}
    assert list(figure.layout.yaxis.ticktext) == ["GradCAM", "guided backpropagation"]
    assert sum(bool(trace.showlegend) for trace in points) == 2
    assert {trace.marker.color for trace in points} <= set(TONES)
    assert not sections.map_quality_figure(pd.DataFrame()).data


def test_only_pictures_are_written_into_the_page():
    with pytest.raises(ValueError, match="text/html"):
        sections.data_uri(b"", "text/html")
