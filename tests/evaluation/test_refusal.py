from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.evaluation import abstention
from sports_clip_pipeline.evaluation.abstention import refusal_report, strange_probabilities
from sports_clip_pipeline.io.state import Journal
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor

CLASSES = ("chess", "wwe")
CONFIDENCE = np.array([0.9, 0.8, 0.7, 0.6, 0.95])
CORRECT = np.array([True, True, False, False, True])
STRANGE = np.array([[0.6, 0.4], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])


def test_kept_and_refused_shares_are_counted() -> None:
    report = refusal_report(0.75, CONFIDENCE, CORRECT, STRANGE, CLASSES)
    own, others = report["evaluation"], report["without_class"]
    assert (own["photographs"], own["kept_share"]) == (5, 0.6)
    assert (own["top1_of_kept"], own["top1_of_refused"]) == (1.0, 0.0)
    assert 0 <= own["low"] <= 0.6 <= own["high"] <= 1
    assert (others["photographs"], others["refused_share"]) == (4, 0.25)
    assert others["answered"] == [["wwe", 2], ["chess", 1]]
    assert (report["threshold"], report["wanted_kept_share"]) == (0.75, 0.95)


def test_without_a_threshold_nothing_is_refused() -> None:
    report = refusal_report(None, CONFIDENCE, CORRECT, STRANGE, CLASSES)
    assert report["evaluation"]["kept_share"] == 1.0
    assert report["evaluation"]["top1_of_refused"] is None
    assert report["without_class"]["refused_share"] == 0.0


def test_where_every_caption_names_a_class_there_is_no_share() -> None:
    report = refusal_report(0.75, CONFIDENCE, CORRECT, np.zeros((0, 2)), CLASSES)
    assert report["without_class"] == {
        "photographs": 0, "refused_share": None, "low": None, "high": None, "answered": [],
    }  # fmt: skip


def predictor(*additional_encoders: EncoderInput) -> Predictor:
    width = 1280 * (1 + len(additional_encoders))
    weight = np.random.default_rng(0).normal(size=(2, width)).astype(np.float32)
    head = Head((Operation("affine", {"weight": weight, "bias": np.zeros(2, np.float32)}),))
    seen = image_preprocessing("lite0", 64, "full")
    return Predictor(CLASSES, "lite0", seen, head, 5.0, additional_encoders=additional_encoders)


def test_one_tower_says_what_it_says_of_the_cached_features(store: ImageStore) -> None:
    features = np.random.default_rng(1).normal(size=(6, 1280)).astype(np.float32)
    found = strange_probabilities(predictor(), store, np.array([1, 4]), features, Journal())
    np.testing.assert_array_equal(found, predictor().predict_proba(features[[1, 4]]))


def test_several_towers_look_at_the_photographs_once(
    store: ImageStore, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = predictor(EncoderInput("lite0", image_preprocessing("lite0", 64, "full"), (), 1280))
    monkeypatch.setattr(abstention, "can_export", lambda predictor: False)
    journal, rows = Journal(), np.array([0, 3])
    monkeypatch.setattr(abstention, "cores", lambda: 1)
    found = strange_probabilities(both, store, rows, np.zeros((6, 1280)), journal)
    wanted = both.predict_images([store.get(0), store.get(3)])
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    monkeypatch.setattr(abstention, "answer_all", None)
    again = strange_probabilities(both, store, rows, np.zeros((6, 1280)), journal)
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
