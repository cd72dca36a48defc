from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.clip.projections import Pretrained
from sports_clip_pipeline.encoders.image_encoders import (
    image_preprocessing,
    load_image_encoder,
    pooled_features,
)
from sports_clip_pipeline.evaluation import predictions
from sports_clip_pipeline.evaluation.predictions import LabelledCorpus, predict_split
from sports_clip_pipeline.fewshot.base import METHODS
from sports_clip_pipeline.fewshot.end_to_end_ensemble import FROZEN, Ensembles, build_ensembles
from sports_clip_pipeline.fewshot.end_to_end_study import EndToEndPredictions, run_end_to_end_trials
from sports_clip_pipeline.fewshot.study import StudyData, finished_trials, run_study
from sports_clip_pipeline.fewshot.trial import TrialKey
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.end_to_end.config import END_TO_END_ENSEMBLE
from sports_clip_pipeline.pipelines.finetune.config import FinetuneConfig
from sports_clip_pipeline.predictor.head import softmax
from tests.training.toy_study import CLASSES, FAST, anchors, image_store, pictures, study

COUNT = 30
LABELS = tuple(f"class {c}" for c in range(CLASSES))
SEEN = image_preprocessing("lite0", 32, "full")
AUDIT = {
    "encoders": [
        {"name": "lite0", "width": 1280, "views": ["full"], "preprocessing": SEEN.to_dict()}
    ]
}
CONFIG = FinetuneConfig(
    methods={FROZEN: {"c": [30.0], "alpha": [1.0]}}, fractions=(1.0,), seeds=1, folds=3, workers=1
)


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both plans over 30 pictures; the same pictures judge, as no accuracy is asked for here."""
    folder, journal = tmp_path_factory.mktemp("plans"), RunState()
    pixels = study(folder / "pixels", journal, count=COUNT)
    images, target = pictures(COUNT)
    store = image_store(_made(folder / "judged"), images)
    features = pooled_features(
        load_image_encoder("lite0"), SEEN.normalise([SEEN.crop(store.get(i)) for i in range(COUNT)])
    )
    known = anchors()
    text = Pretrained(known.zero_shot_weights, 10.0, known.image_weight, known.image_bias)
    data = StudyData(features, target, pixels.splits, text)
    fitted = list(run_study(data, CONFIG, journal))
    scores = EndToEndPredictions(pixels.images, LABELS, "lite0", FAST.views, journal)
    for done in run_end_to_end_trials(pixels, FAST, journal):
        scores.evaluate(done)
        scores.add(done)
    joined = build_ensembles(scores.trials, pixels, data, CONFIG, journal)
    return {
        "pixels": pixels, "data": data, "fitted": fitted, "scores": scores, "store": store,
        "joined": Ensembles(joined, scores, AUDIT), "journal": journal, "images": images,
    }  # fmt: skip


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def corpus(plans: dict[str, Any]) -> LabelledCorpus:
    data = plans["data"]
    manifest = pd.DataFrame({"stored_sha256": [f"{i:064x}" for i in range(COUNT)]})
    splits = data.splits.assign(split="unlabelled")
    return LabelledCorpus(plans["store"], manifest, splits, {"features": data.features})


def test_each_pixel_arm_is_joined_to_the_committee_of_its_labels(plans: dict[str, Any]) -> None:
    (one,) = plans["joined"].ensembles
    assert one.fitted.key == TrialKey(END_TO_END_ENSEMBLE, 1.0, 0)
    assert one.end_to_end == TrialKey("full_imagenet", 1.0, 0)
    assert METHODS[FROZEN].space == "all_encoders", "its head reads every frozen tower"


def test_without_the_committee_or_with_another_frozen_tower_nothing_is_joined(
    plans: dict[str, Any],
) -> None:
    import dataclasses

    pixels, data, trained = plans["pixels"], plans["data"], plans["scores"].trials
    assert build_ensembles(trained, pixels, data, CONFIG, RunState()) == []
    start = dataclasses.replace(pixels.start, clip_weights={"conv_stem.weight": np.zeros(1)})
    other = dataclasses.replace(pixels, start=start)
    assert build_ensembles(trained, other, data, CONFIG, plans["journal"]) == []


def test_a_joined_arm_is_scored_as_its_predictor_answers(plans: dict[str, Any]) -> None:
    joined, data = plans["joined"], plans["data"]
    (one,) = joined.ensembles
    probabilities = softmax(joined.logits(one, data.features) / one.fitted.fit.temperature)
    (name, make), *_ = joined.predictors().items()
    assert name == f"{END_TO_END_ENSEMBLE}-1-0"
    predictor = make()
    assert predictor.has_frozen_copy
    assert [encoder.name for encoder in predictor.encoders] == ["lite0", "lite0"]
    assert [encoder.preprocessing.size for encoder in predictor.encoders] == [40, 32]
    stored = [plans["store"].get(i) for i in range(COUNT)]
    answered = predictor.predict_images(stored)
    np.testing.assert_allclose(probabilities, answered, atol=3e-3)
    said = predict_split(predictor, corpus(plans), "unlabelled", RunState())
    np.testing.assert_allclose(said, answered, atol=1e-4)


def test_what_a_trained_tower_saw_of_a_part_is_kept(
    plans: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, journal = plans["joined"].predictors()[f"{END_TO_END_ENSEMBLE}-1-0"](), RunState()
    first = predict_split(predictor, corpus(plans), "unlabelled", journal)

    def refuse(*args: object) -> None:
        raise AssertionError("the photographs were looked at again")

    monkeypatch.setattr(predictions, "pooled_image_features", refuse)
    again = predict_split(predictor, corpus(plans), "unlabelled", journal)
    np.testing.assert_array_equal(again, first)


def test_only_what_wins_on_held_out_labels_is_shipped(plans: dict[str, Any]) -> None:
    import dataclasses

    joined, data, (committee,) = plans["joined"], plans["data"], plans["fitted"]
    target = data.target[data.labelled_rows(committee.key)]
    blind = np.full((COUNT, CLASSES), 1 / CLASSES, np.float32)
    knowing = np.eye(CLASSES, dtype=np.float32)[target]

    def shipped_beside(said: np.ndarray) -> set[float]:
        fit = dataclasses.replace(committee.fit, held_out=said)
        return set(joined.shipped({1.0: dataclasses.replace(committee, fit=fit)}, data))

    assert shipped_beside(knowing) == set()
    assert shipped_beside(blind) == {1.0}
    other = dataclasses.replace(committee, key=TrialKey(FROZEN, 1.0, 1))
    assert joined.shipped({1.0: other}, data) == {}


def test_kept_arms_are_those_that_stand_under_the_same_fingerprint(plans: dict[str, Any]) -> None:
    arms = [TrialKey(FROZEN, 1.0, 0), TrialKey("ridge", 1.0, 0)]
    kept = list(finished_trials(arms, plans["data"], CONFIG, plans["journal"]))
    assert [one.arm for one in kept] == arms[:1]
    assert kept[0].reused
