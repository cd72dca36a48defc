"""Nothing of the test images reaches a model.

Two proofs: with shuffled labels predictions are at chance, so no path carries the truth around the
fit; and the test images can be deleted before fitting without changing a bit of any model.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from scipy.stats import binom

from sports_clip_pipeline.encoders.features import concat_features
from sports_clip_pipeline.evaluation.zero_shot_evaluation import encode_labels
from sports_clip_pipeline.fewshot import study
from sports_clip_pipeline.fewshot.base import METHODS
from sports_clip_pipeline.fewshot.study import StudyData, run_study
from sports_clip_pipeline.fewshot.trial import FittedTrial
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.finetune.config import FinetuneConfig
from sports_clip_pipeline.pipelines.finetune.pipeline import create_pipeline
from tests.fewshot.factories import changed

FAST = FinetuneConfig(
    methods={"logreg": {"c": [1.0]}, "notebook_mlp": {"steps": [40]}},
    select=("logreg",), fractions=(0.25,), seeds=1, folds=2, workers=1,
)  # fmt: skip
SHUFFLES = 6
Change = Callable[[str, Any], Any]


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small problems are slower on several threads."""
    monkeypatch.setattr(study, "cores", lambda: 1)


def unchanged(name: str, value: Any) -> Any:
    return value


def stored(project: Path, name: str, hint: Any = None) -> Any:
    """A dataset or a parameter block of the finished study, as the catalog gives it."""
    loader = OmegaConfigLoader(str(project / "conf"), base_env="base", default_run_env="local")
    if name.startswith("params:"):
        return hint(**loader["parameters"][name.removeprefix("params:")])
    entry = dict(loader["catalog"][name])
    entry["filepath"] = str(project / entry["filepath"])
    for source in {"source"} & entry.keys():
        entry[source] = str(project / entry[source])
    return DataCatalog.from_config({name: entry}).load(name)


def development(project: Path, change: Change = unchanged) -> StudyData:
    """The study's data, made as the pipeline makes them from inputs after `change`."""
    node = next(node for node in create_pipeline().nodes if node.outputs == ["study_data"])
    hints = list(get_type_hints(node.func).values())
    inputs = [
        change(name, stored(project, name, hint))
        for name, hint in zip(node.inputs, hints, strict=False)
    ]
    data = node.func(*inputs)
    assert isinstance(data, StudyData)
    return data


def data_of_test_split(project: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) and classes (N,) of the test images."""
    splits, labels = stored(project, "splits"), _labels(project)
    rows = (splits["split"] == "test").to_numpy()
    features = concat_features(stored(project, "clip_sports_features"))[0][rows]
    return features, encode_labels(splits.loc[rows, "label"], labels)


def _labels(project: Path) -> list[str]:
    document = yaml.safe_load((project / "conf/base/parameters_class_bank.yml").read_text())
    return [entry["label"] for entry in document["class_bank"]["classes"]]


def fitted(data: StudyData, config: FinetuneConfig = FAST) -> list[FittedTrial]:
    return list(run_study(data, config, RunState()))


def test_shuffled_labels_give_chance(finished_run: Path) -> None:
    """Correct predictions are binomial, with the chance that the two class shares give."""
    data = development(finished_run)
    features, target = data_of_test_split(finished_run)
    shares = np.bincount(target, minlength=len(_labels(finished_run))) / len(target)
    config, hits, chance = changed(FAST, fractions=(1.0,)), 0, 0.0
    for seed in range(SHUFFLES):
        shuffled = np.random.default_rng(seed).permutation(data.target)
        fit = fitted(replace(data, target=shuffled), config)[0].fit
        predicted = fit.head(features).argmax(axis=1)
        hits += int((predicted == target).sum())
        chance += float(shares[predicted].mean()) / SHUFFLES
    low, high = binom.ppf([1e-4, 1 - 1e-4], SHUFFLES * len(target), chance)
    assert low <= hits <= high
    unshuffled = fitted(data, config)[0].fit.head(features).argmax(axis=1)
    assert (unshuffled == target).sum() * SHUFFLES > 2 * high, "the test could not have seen a leak"


def without_test_images(splits: pd.DataFrame) -> Change:
    """Delete every row of a test image, wherever a table or an array has one."""
    keep = (splits["split"] != "test").to_numpy()
    deleted = set(splits.loc[~keep, "image"])

    def change(name: str, value: Any) -> Any:
        if isinstance(value, pd.DataFrame) and "image" in value:
            return value[~value["image"].isin(deleted)].reset_index(drop=True)
        if isinstance(value, dict):
            rows = len(keep)
            return {key: v[keep] if len(v) == rows else v for key, v in value.items()}
        return value

    return change


def test_the_test_images_can_be_deleted_without_changing_a_bit(finished_run: Path) -> None:
    splits = stored(finished_run, "splits")
    config = changed(FAST, select=tuple(METHODS), fractions=(0.1,))
    whole = {trial.key: trial for trial in fitted(development(finished_run), config)}
    less = fitted(development(finished_run, without_test_images(splits)), config)
    assert len(less) == len(whole) == len(METHODS)
    for trial in less:
        other = whole[trial.key]
        assert trial.fit.head.describe() == other.fit.head.describe()
        arrays = other.fit.head.to_arrays()
        for name, values in trial.fit.head.to_arrays().items():
            assert values.tobytes() == arrays[name].tobytes(), f"{trial.key.name} {name}"
        assert trial.fit.temperature == other.fit.temperature
        assert (trial.fit.cv_top1, trial.labels) == (other.fit.cv_top1, other.labels)
