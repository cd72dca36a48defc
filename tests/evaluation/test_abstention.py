from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.evaluation import abstention
from sports_clip_pipeline.evaluation.abstention import (
    abstention_report,
    out_of_distribution_probabilities,
)
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.predictor import onnx_export
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor

CLASSES = ("chess", "wwe")
CONFIDENCE = np.array([0.9, 0.8, 0.7, 0.6, 0.95])
CORRECT = np.array([True, True, False, False, True])
OUT_OF_DISTRIBUTION = np.array([[0.6, 0.4], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])


def report(threshold: float | None, ood: np.ndarray = OUT_OF_DISTRIBUTION) -> dict[str, Any]:
    return abstention_report(
        threshold, 0.95, CONFIDENCE, CORRECT, ood, CLASSES, np.arange(len(CORRECT))
    )


def test_coverage_selective_accuracy_and_rejection_rate_of_a_threshold() -> None:
    found = report(0.75)
    assert (found["threshold"], found["target_coverage"]) == (0.75, 0.95)
    test, ood = found["test"], found["out_of_distribution"]
    assert (test["images"], test["coverage"]) == (5, 0.6)
    assert (test["selective_accuracy"], test["abstained_accuracy"]) == (1.0, 0.0)
    assert 0 <= test["low"] <= 0.6 <= test["high"] <= 1
    assert (ood["images"], ood["rejection_rate"]) == (4, 0.25)
    assert ood["predicted"] == [["wwe", 2], ["chess", 1]]


def test_without_a_threshold_nothing_is_rejected() -> None:
    found = report(None)
    assert (found["test"]["coverage"], found["test"]["abstained_accuracy"]) == (1.0, None)
    assert found["out_of_distribution"]["rejection_rate"] == 0.0


def test_without_out_of_distribution_images_there_is_no_rejection_rate() -> None:
    assert report(0.75, np.zeros((0, 2)))["out_of_distribution"] == {
        "images": 0, "rejection_rate": None, "low": None, "high": None, "predicted": [],
    }  # fmt: skip


def predictor(*additional_encoders: EncoderInput) -> Predictor:
    width = 1280 * (1 + len(additional_encoders))
    weight = np.random.default_rng(0).normal(size=(2, width)).astype(np.float32)
    head = Head((Operation("affine", {"weight": weight, "bias": np.zeros(2, np.float32)}),))
    first = EncoderInput("lite0", image_preprocessing("lite0", 64, "full"), (), 1280)
    return Predictor(CLASSES, (first, *additional_encoders), head, 5.0)


def test_one_encoder_is_evaluated_on_its_cached_features(store: ImageStore) -> None:
    features = np.random.default_rng(1).normal(size=(6, 1280)).astype(np.float32)
    found = out_of_distribution_probabilities(
        predictor(), store, np.array([1, 4]), features, RunState()
    )
    np.testing.assert_array_equal(found, predictor().predict_proba(features[[1, 4]]))


def test_several_encoders_classify_the_images_once(
    store: ImageStore, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = predictor(EncoderInput("lite0", image_preprocessing("lite0", 64, "full"), (), 1280))
    monkeypatch.setattr(onnx_export, "can_export", lambda predictor: False)
    state, rows = RunState(), np.array([0, 3])
    monkeypatch.setattr(abstention, "cores", lambda: 1)
    found = out_of_distribution_probabilities(both, store, rows, np.zeros((6, 1280)), state)
    expected = both.predict_images([store.get(0), store.get(3)])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    monkeypatch.setattr(abstention, "predict_all", None)
    again = out_of_distribution_probabilities(both, store, rows, np.zeros((6, 1280)), state)
    np.testing.assert_array_equal(again, found)


@pytest.fixture
def store(tmp_path: Path, pictures: list[Image.Image]) -> ImageStore:
    from tests.fewshot.end_to_end_factories import image_store

    (tmp_path / "store").mkdir()
    return image_store(tmp_path / "store", pictures)


@pytest.fixture
def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(2)
    grids = (rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(6))
    return [Image.fromarray(grid).resize((96, 72)) for grid in grids]
