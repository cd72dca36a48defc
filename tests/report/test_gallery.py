import math

import pandas as pd
import pytest

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.explainer import Card
from sports_clip_pipeline.explain.verdicts import predictions_fingerprint
from sports_clip_pipeline.report.figures import TONES
from sports_clip_pipeline.report.gallery import (
    compose_exhibits,
    compose_filters,
    map_quality,
    map_quality_figure,
)
from tests.report.factories import (
    LABELS,
    make_cards,
    make_page,
    make_predictions,
    make_small_study,
)


def card(image: str, *, right: bool, question: str = "class: ice_hockey") -> Card:
    predicted = "ice_hockey" if right else "chess"
    return Card(image, "ice_hockey", predicted, 0.75, question, "GradCAM", b"photo", b"map")


def predictions_of(cards: list[Card], zero_shot: str = "ice_hockey") -> pd.DataFrame:
    """The row of each image; zero-shot predicts the same class for all."""
    rows = {
        card.image: {
            "image": card.image,
            "label": card.label,
            "zero_shot_label": zero_shot,
            "zero_shot_top5": [zero_shot, "tennis"],
            "zero_shot_top5_probabilities": [0.6, 0.4],
            "finetuned_label": card.predicted,
            "finetuned_probability": card.probability,
            "finetuned_top5": [card.predicted, "tennis"],
            "finetuned_top5_probabilities": [card.probability, 0.25],
        }
        for card in cards
    }
    columns = ["image", "label", "finetuned_label"]
    return pd.DataFrame(list(rows.values())) if rows else pd.DataFrame(columns=columns)


def test_cards_of_one_image_are_one_exhibit_with_both_predictions():
    cards = [card("a", right=False), card("a", right=False, question="prompt: a ball")]
    (exhibit,) = compose_exhibits(cards, predictions_of(cards), 5)
    assert (exhibit.label, exhibit.band) == ("ice hockey", "middle")
    assert [question for question, *_ in exhibit.maps] == ["Where is ice hockey?", "“a ball”"]
    assert exhibit.jpeg == b"photo"
    assert exhibit.predictions["Zero-shot"][0].right
    after = exhibit.predictions["Fine-tuned"]
    assert after == [("chess", "75.0\u00a0%", False), ("tennis", "25.0\u00a0%", False)]


def test_contrast_maps_are_shown_beside_the_others():
    contrast = card("c", right=False, question="contrast: ice_hockey rather than chess")
    cards = [card("a", right=True), card("b", right=False), contrast]
    exhibits = compose_exhibits(cards, predictions_of(cards), 1)
    assert len(exhibits) == 2
    assert exhibits[1].maps[0][0] == "Evidence for ice hockey rather than chess"


@pytest.mark.parametrize(
    ("right", "zero_shot", "outcomes"),
    [
        (True, "ice_hockey", ("right",)),
        (True, "chess", ("right", "corrected")),
        (False, "ice_hockey", ("wrong", "broken")),
        (False, "tennis", ("wrong",)),
    ],
)
def test_outcomes_tell_what_fine_tuning_changed(right, zero_shot, outcomes):
    cards = [card("a", right=right)]
    (exhibit,) = compose_exhibits(cards, predictions_of(cards, zero_shot), 5)
    assert exhibit.outcomes == outcomes


def test_maps_of_another_classifier_are_rejected():
    cards = [card("a", right=True)]
    predictions = predictions_of([card("a", right=False)])
    with pytest.raises(UserFacingError, match="a was explained for another classifier"):
        compose_exhibits(cards, predictions, 5)
    with pytest.raises(UserFacingError, match="run `kedro run --pipelines=cam,report`"):
        compose_exhibits(cards, predictions[:0], 5)


@pytest.mark.parametrize(
    ("rights", "wrongs", "most", "shown"),
    [(6, 3, 4, 2), (6, 1, 4, 3), (1, 6, 4, 1), (0, 3, 2, 0), (3, 0, 2, 2)],
)
def test_right_and_wrong_images_are_shown_in_equal_numbers_if_there_are(
    rights, wrongs, most, shown
):
    cards = [card(str(n), right=n < rights) for n in range(rights + wrongs)]
    outcomes = [one.outcomes[0] for one in compose_exhibits(cards, predictions_of(cards), most)]
    assert outcomes == ["right"] * shown + ["wrong"] * (most - shown)


def filters_of(images: int) -> dict[str, dict[str, int]]:
    exhibits = compose_exhibits(make_cards(LABELS, images), make_predictions(LABELS), 99)
    return {
        key: {value: count for value, _, count in choices}
        for key, _, _, choices in compose_filters(exhibits)
    }


def test_a_filter_offers_what_occurs_with_how_many_images_it_leaves():
    found = filters_of(4)
    assert found["label"] == {"boxing": 1, "chess": 1, "formula1": 1, "ice hockey": 1}
    # 0 and 2 are right; zero-shot is right of even rows: of 1.jpg it is wrong, of 203.jpg too.
    assert found["outcome"] == {"right": 2, "wrong": 2, "corrected": 2, "broken": 2}
    assert sum(found["band"].values()) == 4
    assert filters_of(0) == {"label": {}, "outcome": {}, "band": {}}


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
    section = map_quality(make_small_study(cam_eval_verdicts=verdicts()))
    assert section.tables[0].rows[0] == (
        "GradCAM", "Classifier", "ROAD, Insertion, Deletion", "yes (rank correlation up to 0.31)",
        "200",
    )  # fmt: skip
    assert section.tables[0].rows[1][2:4] == ("none", "not measured")
    assert section.notes == ("Guided <b>does not beat</b> the baseline.",)


def test_the_page_warns_where_the_maps_are_of_an_earlier_classifier():
    current = predictions_fingerprint(make_small_study().test_predictions)
    for answers, warned in ((current, False), ("of others", True)):
        page = make_page(make_small_study(cam_eval_verdicts=verdicts(answers)))
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
    figure = map_quality_figure(summary())
    assert len(figure.data) == 3 * (1 + 2)
    points = [trace for trace in figure.data if trace.mode == "markers"]
    assert {trace.name for trace in points} == {"Classifier", "CLIP with prompts"}
    assert list(points[0].x) == [10.0, 10.0]
    assert list(points[0].marker.symbol) == ["circle", "circle-open"]
    assert {trace.xaxis for trace in points} == {"x", "x2", "x3"}
    assert list(figure.layout.yaxis.ticktext) == ["GradCAM", "guided backpropagation"]
    assert sum(bool(trace.showlegend) for trace in points) == 2
    assert {trace.marker.color for trace in points} <= set(TONES)
