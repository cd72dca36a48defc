from __future__ import annotations

import base64

import pytest

from sports_clip_pipeline.explain.gallery import Card
from sports_clip_pipeline.reporting.gallery import compose_exhibits, data_uri
from tests.reporting.study import LABELS, make_cards


def card(image: str, *, right: bool, question: str = "class: ice_hockey") -> Card:
    predicted = "ice_hockey" if right else "chess"
    return Card(image, "ice_hockey", predicted, 0.75, question, "GradCAM", b"photo", b"map")


def test_cards_of_one_photograph_are_one_exhibit():
    cards = [card("a", right=True), card("a", right=True, question="prompt: a ball")]

    (exhibit,) = compose_exhibits(cards, 5)

    assert exhibit.right and exhibit.label == "ice hockey"
    assert exhibit.probability == "75.0\u00a0%"
    assert [shown.question for shown in exhibit.explanations] == [
        "Where is ice hockey?",
        "“a ball”",
    ]
    assert exhibit.photo == "data:image/jpeg;base64," + base64.b64encode(b"photo").decode()


def test_contrasts_are_asked_in_words_and_shown_beside_the_others():
    contrast = card("c", right=False, question="contrast: ice_hockey rather than chess")

    exhibits = compose_exhibits([card("a", right=True), card("b", right=False), contrast], 1)

    assert len(exhibits) == 2
    assert exhibits[1].explanations[0].question == "What speaks for ice hockey rather than chess?"


def test_right_and_wrong_ones_share_the_room():
    cards = [card(str(n), right=n < 6) for n in range(9)]

    exhibits = compose_exhibits(cards, 4)

    assert [exhibit.right for exhibit in exhibits] == [True, True, False, False]


@pytest.mark.parametrize(("rights", "wrongs", "most"), [(6, 1, 4), (1, 6, 4), (0, 3, 2), (3, 0, 2)])
def test_where_one_kind_is_rare_the_other_fills_the_room(rights, wrongs, most):
    cards = [card(str(n), right=n < rights) for n in range(rights + wrongs)]

    exhibits = compose_exhibits(cards, most)

    assert len(exhibits) == most
    assert sum(exhibit.right for exhibit in exhibits) == min(rights, max(most // 2, most - wrongs))


def test_an_odd_room_is_filled_and_no_more():
    assert len(compose_exhibits(make_cards(LABELS, 8), 5)) == 5


def test_no_cards_make_no_exhibits():
    assert compose_exhibits([], 5) == ()


def test_only_pictures_are_written_into_the_page():
    with pytest.raises(ValueError, match="text/html"):
        data_uri(b"", "text/html")
