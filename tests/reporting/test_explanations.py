from __future__ import annotations

import dataclasses
import math

import pandas as pd

from sports_clip_pipeline.evaluation.explanations import answers_mark
from sports_clip_pipeline.reporting import page
from sports_clip_pipeline.reporting.explanations import explanations_table
from tests.reporting.study import make_results


def verdicts(answers: str = "") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "target": ["classifier", "prompts"],
            "method": ["gradcam", "guided"],
            "photographs": [200, 200],
            "beats_floors": [True, False],
            "measures_beaten": ["road, insertion, deletion", ""],
            "depends_on_weights": [True, None],
            "highest_correlation": [0.31, math.nan],
            "sentence": ["GradCAM beats.", "Guided <b>does not beat</b> the floor."],
            "answers": answers,
        }
    )


def test_each_method_has_a_row():
    rows = explanations_table(verdicts()).rows
    assert rows[0] == (
        "GradCAM", "Classifier", "ROAD, insertion, deletion", "yes (rank correlation up to 0.31)",
        "200",
    )  # fmt: skip
    assert rows[1][2:4] == ("none", "not looked at")


def test_the_page_shows_the_table_and_says_which_methods_fall_short():
    results = make_results()
    judged = dataclasses.replace(results.judged, cam_eval_verdicts=verdicts())
    html = page.compose_page(dataclasses.replace(results, judged=judged))
    looks = html[html.index('id="looks"') : html.index('id="pretraining"')]
    assert "Can these maps be trusted?" in looks and "up to 0.31" in looks
    assert "Guided &lt;b&gt;does not beat" in looks and "GradCAM beats." not in looks


def test_the_page_warns_where_the_maps_are_of_an_earlier_classifier():
    results = make_results()
    mark = answers_mark(results.test_predictions)
    for answers, warned in ((mark, False), ("of others", True)):
        judged = dataclasses.replace(results.judged, cam_eval_verdicts=verdicts(answers))
        html = page.compose_page(dataclasses.replace(results, judged=judged))
        assert ("Measured on an earlier classifier" in html) == warned


def test_where_nothing_was_measured_the_page_says_nothing_of_it():
    assert "Can these maps be trusted?" not in page.compose_page(make_results())
