import pytest

from sports_clip_pipeline.evaluation.evaluation_log import Evaluation, record_evaluation
from sports_clip_pipeline.fewshot.base import METHODS, MethodSpec
from sports_clip_pipeline.pipelines.report.config import ReportConfig
from sports_clip_pipeline.report.headline import (
    compose_headline,
    preferred_point,
    superscript,
)
from tests.report.factories import NOTE, make_curves, make_small_study, make_study, make_trials


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_published_numbers_have_a_column_of_their_own_with_a_footnote():
    headline = compose_headline(make_small_study())
    assert headline.table.heads[-1] == "Published notebook¹"
    published = {row[0]: plain(row[-1]) for row in headline.table.rows}
    assert published["Zero-shot top-1"] == "35.0 %"
    assert published["Top-1 with 100\u00a0% of labels"] == "89.5 %"
    assert published["Zero-shot top-5"] == "–"
    assert headline.notes == (f"¹ {NOTE}",)
    assert superscript(10) == "¹⁰"


def test_without_published_numbers_there_is_no_such_column():
    headline = compose_headline(make_small_study(config=ReportConfig(study="sample")))
    assert headline.table.heads == ("Measure", "This study", "95 % interval")
    assert headline.notes == ()


def test_key_numbers_and_sentence_are_those_of_the_study():
    headline = compose_headline(make_small_study())
    numbers = [plain(number) for _, number, *_ in headline.numbers]
    assert numbers[1:] == ["16.7 %", "65.0 %", "86.0 %", "49.2 %"]
    assert headline.numbers[2][2:] == ("61.0–69.0", "Logistic regression on encoder features")
    expected = "With 88 labelled images it is 65.0 %, with 8,800 it is 86.0 %."
    assert plain(headline.sentence).endswith(expected)


@pytest.mark.parametrize(
    ("method", "number"), [("notebook_mlp", "86.0 %"), ("full_imagenet", "90.0 %")]
)
def test_with_all_labels_the_number_is_that_of_the_exported_method(method, number):
    finetuned = {**make_study().finetune_metrics, "best_method": method}
    headline = compose_headline(make_study(finetune_metrics=finetuned))
    (remark,) = [one[-1] for one in headline.numbers if one[0].startswith("Top-1 with 100")]
    assert remark == make_study().name(method)
    numbers = {plain(row[0]): plain(row[1]) for row in headline.table.rows}
    assert numbers["Top-1 with 100 % of labels"] == number


def test_a_study_of_one_label_fraction_is_reported_once():
    curves = make_curves()
    headline = compose_headline(make_small_study(finetune_curves=curves[curves["fraction"] == 1.0]))
    assert "With 8,800 labelled images it is 86.0 %." in plain(headline.sentence)
    assert [plain(row[0]) for row in headline.table.rows].count("Top-1 with 100 % of labels") == 1
    assert len(headline.numbers) == 4


def test_semi_supervised_methods_are_reported_apart(monkeypatch):
    monkeypatch.setitem(
        METHODS, "self_training", MethodSpec("s", "first_encoder", "Self-training", True)
    )
    methods = {"logreg": 0.0, "self_training": -0.06}
    headline = compose_headline(
        make_small_study(finetune_curves=make_curves(methods), finetune_trials=make_trials(methods))
    )
    assert "it is 65.0 % (71.0 % with the rest unlabelled)" in plain(headline.sentence)
    numbers = {plain(row[0]): plain(row[1]) for row in headline.table.rows}
    assert numbers["Top-1 with 1 % of labels"] == "65.0 %"
    assert numbers["Top-1 with 1 % of labels, the rest unlabelled"] == "71.0 %"


def test_the_headline_counts_evaluations_on_the_test_images():
    first = Evaluation("2026-01-31T12:00:00+00:00", "c", 1, ("a",), "p", "d", "a", 0.5)
    log = record_evaluation([], first)
    headline = compose_headline(make_small_study(evaluation_log=log))
    assert "evaluated once since 2026-01-31" in headline.evaluations
    assert compose_headline(make_small_study(evaluation_log=[])).evaluations == ""


@pytest.mark.parametrize(
    ("cv_b", "cv_a", "chosen"),
    [(0.6, 0.7, "a"), (0.1, float("nan"), "b"), (float("nan"), float("nan"), "a")],
)
def test_cross_validation_chooses_even_where_the_test_images_disagree(cv_b, cv_a, chosen):
    curves = make_curves({"b": 0.0, "a": 0.5})
    trials = make_trials({"b": 0.0, "a": 0.5})
    trials["cv_top1"] = trials["method"].map({"b": cv_b, "a": cv_a})
    assert preferred_point(curves, trials, 1.0)["method"] == chosen
