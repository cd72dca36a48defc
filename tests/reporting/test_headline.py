from __future__ import annotations

import dataclasses

from sports_clip_pipeline.config.methods import METHODS, MethodSpec
from sports_clip_pipeline.pipelines.report.config import ReportConfig
from sports_clip_pipeline.reporting.headline import compose_headline, raised, repair_sentence
from tests.reporting.judged_study import make_pixel_curves
from tests.reporting.study import NOTE, make_arms, make_curves, make_results


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_published_numbers_stand_in_a_column_of_their_own_with_a_footnote():
    headline = compose_headline(make_results())

    assert [column.name for column in headline.table.columns][-1] == "Published notebook¹"
    published = {row[0]: plain(row[-1]) for row in headline.table.rows}
    assert published["Zero-shot top-1"] == "35.0 %"
    assert published["Top-1 with 100\u00a0% of labels"] == "89.5 %"
    assert published["Zero-shot top-5"] == "–"
    assert headline.notes == (f"¹ {NOTE}",)


def test_without_published_numbers_there_is_no_such_column():
    results = dataclasses.replace(make_results(), config=ReportConfig(study="sample"))

    headline = compose_headline(results)

    assert [column.name for column in headline.table.columns] == [
        "Measure",
        "This study",
        "95 % interval",
    ]
    assert headline.notes == ()


def test_cards_hold_the_numbers_of_the_study():
    cards = compose_headline(make_results()).cards

    assert [plain(card.number) for card in cards[1:]] == ["16.7 %", "65.0 %", "86.0 %", "49.2 %"]
    assert cards[2].interval == "61.0–69.0"
    assert cards[2].remark == "Logistic regression on tower features"


def test_with_all_labels_the_shipped_method_speaks_for_itself():
    results = make_results()
    shipped = {**results.finetune_metrics, "best_method": "notebook_mlp"}

    headline = compose_headline(dataclasses.replace(results, finetune_metrics=shipped))

    assert headline.cards[3].remark == "MLP head of the notebook"


def test_a_shipped_method_of_the_pixel_plan_speaks_for_itself():
    results = make_results()
    shipped = {**results.finetune_metrics, "best_method": "full_imagenet"}
    judged = dataclasses.replace(results.judged, end_to_end_curves=make_pixel_curves())

    headline = compose_headline(
        dataclasses.replace(results, finetune_metrics=shipped, judged=judged)
    )

    assert plain(headline.cards[3].number) == "90.0 %"


def test_the_sentence_names_the_labels_that_were_needed():
    sentence = plain(compose_headline(make_results()).sentence)

    assert "With 88 labelled photographs it is 65.0 %, with 8,800 it is 86.0 %." in sentence


def test_a_study_of_one_share_is_told_once():
    results = make_results()
    alone = results.finetune_curves[results.finetune_curves["fraction"] == 1.0]

    headline = compose_headline(dataclasses.replace(results, finetune_curves=alone))

    assert "With 8,800 labelled photographs it is 86.0 %." in plain(headline.sentence)
    assert [plain(row[0]) for row in headline.table.rows].count("Top-1 with 100 % of labels") == 1
    assert len(headline.cards) == 4


def test_photographs_are_counted_by_what_fine_tuning_did_to_them():
    # Of 600: wrong before and right after are the 300 odd ones; every tenth, an even one, breaks.
    sentence = repair_sentence(make_results())

    assert "right on 300 photographs that zero-shot got wrong" in sentence
    assert "wrong on 60 that zero-shot got right" in sentence
    assert "0 defeat both" in sentence


def test_footnote_marks_are_raised_digits():
    assert raised(10) == "¹⁰"


def test_methods_that_see_unlabelled_photographs_are_reported_apart(monkeypatch):
    monkeypatch.setitem(METHODS, "self_training", MethodSpec("s", "tower", unlabelled=True))
    methods = {"logreg_tower": 0.0, "self_training": -0.06}
    results = dataclasses.replace(
        make_results(), finetune_curves=make_curves(methods), finetune_trials=make_arms(methods)
    )

    headline = compose_headline(results)

    assert "it is 65.0 % (71.0 % with the rest unlabelled)" in plain(headline.sentence)
    numbers = {plain(row[0]): plain(row[1]) for row in headline.table.rows}
    assert numbers["Top-1 with 1 % of labels"] == "65.0 %"
    assert numbers["Top-1 with 1 % of labels, the rest unlabelled"] == "71.0 %"
    assert len(headline.cards) == 6
