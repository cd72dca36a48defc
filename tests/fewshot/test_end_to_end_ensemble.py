from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.encoders.image_encoders import (
    image_preprocessing,
    load_image_encoder,
    pooled_features,
)
from sports_clip_pipeline.evaluation import predictions as evaluation_predictions
from sports_clip_pipeline.evaluation.predictions import LabelledCorpus, predict_split
from sports_clip_pipeline.fewshot import end_to_end_ensemble
from sports_clip_pipeline.fewshot.base import METHODS, Fit, Labelled
from sports_clip_pipeline.fewshot.end_to_end_ensemble import (
    FROZEN,
    EndToEndPredictions,
    EnsembleTrial,
    build_ensemble,
    build_ensembles,
    is_better,
)
from sports_clip_pipeline.fewshot.end_to_end_study import run_end_to_end_trials
from sports_clip_pipeline.fewshot.study import StudyData, finished_trials, run_study
from sports_clip_pipeline.fewshot.trial import FittedTrial, TrialKey
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.finetune.config import END_TO_END_ENSEMBLE, FinetuneConfig
from sports_clip_pipeline.predictor.head import Head, affine, softmax
from sports_clip_pipeline.predictor.predictor import EncoderInput
from tests.fewshot.end_to_end_factories import (
    CLASSES,
    FAST,
    image_store,
    pretrained,
    study,
    toy_images,
)

TARGET = np.arange(60) % 3
HELD_OUT = np.arange(60) < 30
TRAINED_WIDTH, FROZEN_WIDTH = 4, 5


def predicted(scale: float, noise: float, seed: int, rows: Any = slice(None)) -> np.ndarray:
    """Probabilities (60, 3) around the truth; NaN where a row was not held out."""
    logits = scale * np.eye(3)[TARGET] + np.random.default_rng(seed).normal(0, noise, (60, 3))
    probabilities = np.full((60, 3), np.nan, np.float32)
    probabilities[rows] = softmax(logits[rows])
    return probabilities


def fitted(method: str, held_out: np.ndarray, temperature: float = 1.0) -> FittedTrial:
    width = FROZEN_WIDTH if method == FROZEN else TRAINED_WIDTH
    head = Head((affine(np.random.default_rng(1).normal(size=(3, width))),))
    fit = Fit(head, temperature, {}, 0.5, 1.0, held_out)
    return FittedTrial(TrialKey(method, 0.5, 0), fit, 60, 2.0, False, "fingerprint")


def combined(frozen: FittedTrial, *trained: FittedTrial) -> EnsembleTrial:
    labelled = Labelled(np.empty((60, 0)), TARGET, np.arange(60) // 3 % 4, 3)
    return build_ensemble(trained, frozen, labelled, (TRAINED_WIDTH, FROZEN_WIDTH))


STACKED = fitted(FROZEN, predicted(3, 1.5, 1), temperature=4.0)
TRAINED = fitted("flyp", predicted(3, 1, 3, HELD_OUT), temperature=0.5)


def test_the_trained_encoder_that_helps_the_stacked_ensemble_most_is_chosen() -> None:
    poor = fitted("full_imagenet", predicted(0, 1, 2, HELD_OUT))
    made = combined(STACKED, poor, TRAINED)
    assert made.end_to_end is TRAINED
    assert made.fitted.key == TrialKey(END_TO_END_ENSEMBLE, 0.5, 0)
    assert made.fitted.fit.hyperparameters["end_to_end_method"] == "flyp"
    assert made.fitted.elapsed_s == 4.0
    assert is_better(made, STACKED, TARGET)


def test_a_trained_encoder_that_adds_nothing_gets_no_weight_and_is_not_better() -> None:
    frozen = fitted(FROZEN, predicted(3, 0.5, 1))
    made = combined(frozen, fitted("flyp", predicted(-4, 0.5, 2, HELD_OUT)))
    assert made.fitted.fit.hyperparameters["end_to_end_weight"] == 0.0
    assert not is_better(made, frozen, TARGET)


def test_only_images_held_out_from_both_count() -> None:
    both = HELD_OUT & (TARGET != 2)
    made = combined(fitted(FROZEN, predicted(3, 1.5, 1, TARGET != 2)), TRAINED)
    held_out = made.fitted.fit.held_out
    np.testing.assert_array_equal(~np.isnan(held_out[:, 0]), both)
    correct = held_out[both].argmax(axis=1) == TARGET[both]
    assert made.fitted.fit.cv_top1 == pytest.approx(correct.mean())


def test_the_head_on_both_encoders_columns_gives_the_weighted_sum() -> None:
    """Temperatures are in the factors: logits of both sides are divided by their own."""
    made = combined(STACKED, TRAINED)
    settings = made.fitted.fit.hyperparameters
    assert made.factors == (settings["end_to_end_weight"] / 0.5, settings["frozen_weight"] / 4.0)
    columns = np.random.default_rng(5).normal(size=(7, TRAINED_WIDTH + FROZEN_WIDTH))
    trained, frozen = np.split(columns.astype(np.float32), [TRAINED_WIDTH], axis=1)
    expected = made.factors[0] * TRAINED.fit.head(trained)
    expected += made.factors[1] * STACKED.fit.head(frozen)
    np.testing.assert_allclose(made.fitted.fit.head(columns), expected, rtol=1e-5, atol=1e-5)


COUNT = 30
LABELS = tuple(f"class {c}" for c in range(CLASSES))
INPUT = image_preprocessing("lite0", 32, "full")
FROZEN_INPUT = EncoderInput("lite0", INPUT, FAST.views, 1280)
CONFIG = FinetuneConfig(
    methods={FROZEN: {"c": [30.0], "alpha": [1.0]}}, fractions=(1.0,), seeds=1, folds=3, workers=1
)


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both plans over 30 images, which are the test images too; no accuracy is measured here."""
    folder, state = tmp_path_factory.mktemp("plans"), RunState()
    made = study(folder / "end_to_end", state, count=COUNT)
    images, target = toy_images(COUNT)
    store = image_store(folder / "test", images)
    stored = [store.get(i) for i in range(COUNT)]
    pixels = INPUT.normalise([INPUT.crop(image) for image in stored])
    features = pooled_features(load_image_encoder("lite0"), pixels)
    data = StudyData(features, target, made.splits, pretrained())
    frozen = list(run_study(data, CONFIG, state))
    encoder = replace(FROZEN_INPUT, preprocessing=made.images.preprocessing)
    predictions = EndToEndPredictions(made.images, LABELS, encoder, (FROZEN_INPUT,), state, 0.95)
    predictions.trials.extend(run_end_to_end_trials(made, FAST, state))
    ensembles = build_ensembles(predictions.trials, made, data, CONFIG, state)
    manifest = pd.DataFrame({"stored_sha256": [f"{i:064x}" for i in range(COUNT)]})
    splits = data.splits.assign(split="unlabelled")
    return {
        "study": made, "data": data, "frozen": frozen, "predictions": predictions, "state": state,
        "ensembles": ensembles, "images": stored,
        "corpus": LabelledCorpus(store, manifest, splits, {"features": features}),
    }  # fmt: skip


def test_test_logits_are_those_of_the_trials_predictor_and_are_computed_once(
    plans: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions, (trial,) = plans["predictions"], plans["predictions"].trials
    ((name, make),) = predictions.predictors([]).items()
    assert name == "full_imagenet-1-0"
    logits = predictions.evaluate(trial)
    probabilities = make().predict_images(plans["images"])
    np.testing.assert_allclose(softmax(logits / trial.fit.temperature), probabilities, atol=1e-4)
    monkeypatch.setattr(end_to_end_ensemble, "pooled_image_features", None)
    np.testing.assert_array_equal(predictions.evaluate(trial), logits)
    assert predictions.logits(replace(trial, fingerprint="other")) is None


def test_each_end_to_end_trial_is_combined_with_the_stacked_ensemble_of_its_labels(
    plans: dict[str, Any],
) -> None:
    (one,) = plans["ensembles"]
    assert one.fitted.key == TrialKey(END_TO_END_ENSEMBLE, 1.0, 0)
    assert one.end_to_end.key == TrialKey("full_imagenet", 1.0, 0)
    assert METHODS[FROZEN].space == "all_encoders", "its head reads every frozen encoder"


def test_without_a_stacked_ensemble_or_with_a_trained_clip_encoder_there_is_no_ensemble(
    plans: dict[str, Any],
) -> None:
    made, data, trials = plans["study"], plans["data"], plans["predictions"].trials
    assert build_ensembles(trials, made, data, CONFIG, RunState()) == []
    start = replace(made.start, clip_weights={"conv_stem.weight": np.zeros(1)})
    other = replace(made, start=start)
    assert build_ensembles(trials, other, data, CONFIG, plans["state"]) == []


def test_an_ensemble_is_scored_as_its_predictor_predicts(
    plans: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,), data, predictions = plans["ensembles"], plans["data"], plans["predictions"]
    makers = predictions.predictors([one])
    assert list(makers) == ["full_imagenet-1-0", f"{END_TO_END_ENSEMBLE}-1-0"]
    predictor = makers[f"{END_TO_END_ENSEMBLE}-1-0"]()
    assert [encoder.name for encoder in predictor.encoders] == ["lite0", "lite0"]
    assert [encoder.preprocessing.size for encoder in predictor.encoders] == [40, 32]
    confidence = one.fitted.fit.held_out.max(axis=1)
    assert predictor.threshold == np.nanmin(confidence)
    expected = predictor.predict_images(plans["images"])
    probabilities = softmax(predictions.evaluate_ensemble(one, data.features))
    np.testing.assert_allclose(probabilities, expected, atol=3e-3)

    state = RunState()
    first = predict_split(predictor, plans["corpus"], "unlabelled", state)
    np.testing.assert_allclose(first, expected, atol=1e-4)
    monkeypatch.setattr(evaluation_predictions, "pooled_image_features", None)
    again = predict_split(predictor, plans["corpus"], "unlabelled", state)
    np.testing.assert_array_equal(again, first)


def test_an_ensemble_is_shipped_only_where_it_is_better_on_held_out_labels(
    plans: dict[str, Any],
) -> None:
    data, (frozen,) = plans["data"], plans["frozen"]
    shipped = partial(plans["predictions"].shipped, plans["ensembles"], data=data)
    uniform = np.full((COUNT, CLASSES), 1 / CLASSES, np.float32)
    perfect = np.eye(CLASSES, dtype=np.float32)[data.target]
    for held_out, fractions in ((perfect, set()), (uniform, {1.0})):
        chosen = replace(frozen, fit=replace(frozen.fit, held_out=held_out))
        assert set(shipped({1.0: chosen})) == fractions
    other = replace(frozen, key=TrialKey(FROZEN, 1.0, 1))
    assert shipped({1.0: other}) == {}


def test_finished_trials_are_those_of_the_same_fingerprint(plans: dict[str, Any]) -> None:
    keys = [TrialKey(FROZEN, 1.0, 0), TrialKey("ridge", 1.0, 0)]
    (finished,) = finished_trials(keys, plans["data"], CONFIG, plans["state"])
    assert finished.key == keys[0]
    assert finished.reused
