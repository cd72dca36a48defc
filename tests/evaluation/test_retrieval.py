from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.evaluation import retrieval
from sports_clip_pipeline.evaluation.retrieval import (
    image_recall_at_k,
    recall_at_k,
    recall_columns,
    retrieval_metrics,
)


def naive_t2i(similarity: np.ndarray, owner: np.ndarray, k: int) -> float:
    hits = [owner[m] in np.argsort(-row)[:k] for m, row in enumerate(similarity)]
    return float(np.mean(hits))


def naive_i2t(similarity: np.ndarray, owner: np.ndarray, k: int) -> float:
    columns = similarity.T
    hits = [n in owner[np.argsort(-column)[:k]] for n, column in enumerate(columns)]
    return float(np.mean(hits))


def test_hand_made_matrices_give_their_exact_recalls() -> None:
    similarity = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.3], [0.1, 0.7, 0.2], [0.0, 0.5, 0.6]])
    owner = np.array([0, 1, 1, 2])
    assert [recall_at_k(similarity, owner, k) for k in (1, 2, 3)] == [0.75, 0.75, 1.0]
    assert [image_recall_at_k(similarity, owner, k) for k in (1, 2)] == [1.0, 1.0]
    assert image_recall_at_k(similarity, np.array([0, 1, 2, 0]), 1) == pytest.approx(1 / 3)


def test_the_examples_of_the_docstrings_hold() -> None:
    assert recall_at_k(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), 1) == 0.5
    three = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.7]])
    assert image_recall_at_k(three, np.array([0, 1, 0]), 1) == 0.5


@pytest.mark.parametrize("k", [1, 5, 10])
def test_five_captions_an_image_agree_with_the_naive_twins(k: int) -> None:
    rng = np.random.default_rng(k)
    owner = rng.permutation(np.repeat(np.arange(12), 5))
    similarity = rng.normal(size=(60, 12))
    similarity[np.arange(60), owner] += 1.0
    assert recall_at_k(similarity, owner, k) == naive_t2i(similarity, owner, k)
    assert image_recall_at_k(similarity, owner, k) == naive_i2t(similarity, owner, k)


def test_blocks_of_captions_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    owner = rng.permutation(np.repeat(np.arange(12), 5))
    image, text = rng.normal(size=(12, 4)), rng.normal(size=(60, 4))
    whole = retrieval_metrics(image, text, owner)
    monkeypatch.setattr(retrieval, "_AT_ONCE", 12 * 7)
    assert retrieval_metrics(image, text, owner) == whole
    assert 0.0 < whole["t2i"]["r5"] < 1.0


def test_embeddings_that_are_no_numbers_earn_nothing() -> None:
    broken, owner = np.full((3, 2), np.nan), np.array([0, 1, 2, 0])
    metrics = retrieval_metrics(broken, broken[owner], owner)
    assert metrics["t2i"]["r1"] == metrics["i2t"]["r1"] == 0.0


def test_a_constant_similarity_earns_nothing() -> None:
    flat, owner = np.ones((10, 5)), np.repeat(np.arange(5), 2)
    assert recall_at_k(flat, owner, 1) == 0.0
    assert image_recall_at_k(flat, owner, 1) == 0.0
    assert recall_at_k(flat, owner, 5) == 1.0


def test_metrics_of_perfect_embeddings_are_one_and_k_is_capped() -> None:
    metrics = retrieval_metrics(np.eye(3), np.eye(3)[[0, 0, 1, 2]], np.array([0, 0, 1, 2]))
    assert metrics == {way: {"r1": 1.0, "r5": 1.0, "r10": 1.0} for way in ("t2i", "i2t")}


def test_a_judge_embeds_and_names_its_columns() -> None:
    class Same:
        def image_embeddings(self, features: np.ndarray) -> np.ndarray:
            return features

        text_embeddings = image_embeddings

    columns = recall_columns(np.eye(2), np.eye(2)[::-1], np.array([0, 1]))(Same())
    assert columns["validation_t2i_r1"] == 0.0
    assert columns["validation_i2t_r5"] == 1.0
    assert len(columns) == 6


def test_owners_of_another_number_and_k_out_of_range_are_refused() -> None:
    similarity = np.zeros((4, 3))
    for recall in (recall_at_k, image_recall_at_k):
        with pytest.raises(ValueError, match=r"owner has shape \(3,\) for 4 captions"):
            recall(similarity, np.zeros(3, int), 1)
        with pytest.raises(ValueError, match=r"k is within 1\.\.[34], got 0"):
            recall(similarity, np.zeros(4, int), 0)
    with pytest.raises(ValueError, match=r"1\.\.3, got 4"):
        recall_at_k(similarity, np.zeros(4, int), 4)
