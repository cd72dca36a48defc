from __future__ import annotations

import base64

import pandas as pd
import pytest

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.explainer import Card
from sports_clip_pipeline.report.gallery import compose_exhibits, compose_filters
from tests.report.study import LABELS, make_cards, make_predictions


def card(image: str, *, right: bool, question: str = "class: ice_hockey") -> Card:
    predicted = "ice_hockey" if right else "chess"
    return Card(image, "ice_hockey", predicted, 0.75, question, "GradCAM", b"photo", b"map")


def said_of(cards: list[Card], zero_shot: str = "ice_hockey") -> pd.DataFrame:
    """The row of each image; zero-shot says the same of all."""
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


def test_cards_of_one_image_are_one_exhibit():
    cards = [card("a", right=True), card("a", right=True, question="prompt: a ball")]

    (exhibit,) = compose_exhibits(cards, said_of(cards), 5)

    assert exhibit.right and exhibit.label == "ice hockey"
    assert exhibit.band == "middle"
    assert [shown.question for shown in exhibit.maps] == [
        "Where is ice hockey?",
        "“a ball”",
    ]
    assert exhibit.src == "data:image/jpeg;base64," + base64.b64encode(b"photo").decode()


def test_contrasts_are_asked_in_words_and_shown_beside_the_others():
    contrast = card("c", right=False, question="contrast: ice_hockey rather than chess")

    cards = [card("a", right=True), card("b", right=False), contrast]
    exhibits = compose_exhibits(cards, said_of(cards), 1)

    assert len(exhibits) == 2
    assert exhibits[1].maps[0].question == "Evidence for ice hockey rather than chess"


def test_both_classifiers_predict_side_by_side():
    cards = [card("a", right=False)]

    (exhibit,) = compose_exhibits(cards, said_of(cards), 5)

    before, after = exhibit.predictions
    assert (before.classifier, before.right) == ("Zero-shot", True)
    assert (after.classifier, after.right) == ("Fine-tuned", False)
    assert [(one.name, one.probability, one.right) for one in after.predictions] == [
        ("chess", "75.0\u00a0%", False),
        ("tennis", "25.0\u00a0%", False),
    ]


@pytest.mark.parametrize(
    ("right", "zero_shot", "outcomes"),
    [
        (True, "ice_hockey", ("right",)),
        (True, "chess", ("right", "corrected")),
        (False, "ice_hockey", ("wrong", "broken")),
        (False, "tennis", ("wrong",)),
    ],
)
def test_an_exhibit_knows_what_labels_changed(right, zero_shot, outcomes):
    cards = [card("a", right=right)]

    (exhibit,) = compose_exhibits(cards, said_of(cards, zero_shot), 5)

    assert exhibit.outcomes == outcomes


def test_maps_of_another_classifier_are_refused():
    cards = [card("a", right=True)]
    said = said_of([card("a", right=False)])

    with pytest.raises(UserFacingError, match="a was explained for another classifier"):
        compose_exhibits(cards, said, 5)
    with pytest.raises(UserFacingError, match="run `kedro run --pipelines=cam,report`"):
        compose_exhibits(cards, said[:0], 5)


def test_right_and_wrong_ones_share_the_room():
    cards = [card(str(n), right=n < 6) for n in range(9)]

    exhibits = compose_exhibits(cards, said_of(cards), 4)

    assert [exhibit.right for exhibit in exhibits] == [True, True, False, False]


@pytest.mark.parametrize(("rights", "wrongs", "most"), [(6, 1, 4), (1, 6, 4), (0, 3, 2), (3, 0, 2)])
def test_where_one_kind_is_rare_the_other_fills_the_room(rights, wrongs, most):
    cards = [card(str(n), right=n < rights) for n in range(rights + wrongs)]

    exhibits = compose_exhibits(cards, said_of(cards), most)

    assert len(exhibits) == most
    assert sum(exhibit.right for exhibit in exhibits) == min(rights, max(most // 2, most - wrongs))


def test_no_cards_make_no_exhibits():
    assert compose_exhibits([], make_predictions(LABELS), 5) == ()


def filters_of(images: int) -> dict[str, dict[str, int]]:
    exhibits = compose_exhibits(make_cards(LABELS, images), make_predictions(LABELS), 99)
    return {
        one.key: {value: count for value, _, count in one.choices}
        for one in compose_filters(exhibits)
    }


def test_a_filter_offers_what_occurs_with_how_many_images_it_leaves():
    found = filters_of(4)

    assert found["label"] == {"boxing": 1, "chess": 1, "formula1": 1, "ice hockey": 1}
    # 0 and 2 are right; zero-shot is right of even rows: of 1.jpg it is wrong, of 203.jpg too.
    assert found["outcome"] == {"right": 2, "wrong": 2, "corrected": 2, "broken": 2}
    assert sum(found["band"].values()) == 4
    assert filters_of(0) == {"label": {}, "outcome": {}, "band": {}}
