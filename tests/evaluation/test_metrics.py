import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from sports_clip_pipeline.evaluation import metrics
from sports_clip_pipeline.evaluation.metrics import (
    class_gains,
    classification_report,
    macro_f1,
    most_confused_pairs,
    retrieval_metrics,
    retrieval_metrics_of,
    retrieval_ranks,
    top_k_accuracy,
    validation_recalls,
)

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.5, 0.4], [0.2, 0.3, 0.5]])
TARGET = np.array([0, 1, 1, 1])


def test_top_k_of_a_hand_made_table() -> None:
    assert [top_k_accuracy(PROBABILITIES, TARGET, k) for k in (1, 2, 3)] == [0.5, 1.0, 1.0]
    assert top_k_accuracy(np.full((4, 3), 1 / 3), TARGET, 1) == 0.0
    with pytest.raises(ValueError, match="4 rows of probabilities for 3 targets"):
        top_k_accuracy(PROBABILITIES, TARGET[:3], 1)


def test_macro_f1_averages_classes_evenly_and_absent_ones_count_zero() -> None:
    predicted = np.array([0, 0, 1, 2])
    f1_0, f1_1 = 2 * 0.5 * 1 / 1.5, 2 * 1 * (1 / 3) / (4 / 3)
    assert macro_f1(predicted, TARGET, 3) == pytest.approx((f1_0 + f1_1) / 3)
    assert macro_f1(TARGET, TARGET, 4) == 0.5


def test_the_report_of_a_hand_made_table() -> None:
    report = classification_report(PROBABILITIES, TARGET, ["a", "b", "c"])
    assert report["confusion"] == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert (report["top1"], report["majority"], report["images"]) == (0.5, 0.75, 4)
    assert report["chance"] == pytest.approx(1 / 3)
    assert report["per_class"]["b"]["precision"] == 1.0
    assert report["per_class"]["b"]["recall"] == pytest.approx(1 / 3)
    assert report["per_class"]["c"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


LABELS = ("Chess", "Cricket", "Kabaddi")
TRUE = np.array([0, 0, 1, 1, 2, 2])


def predict(*classes: int) -> np.ndarray:
    return np.eye(3, dtype=np.float16)[list(classes)]


ZERO_SHOT = predict(0, 0, 0, 1, 1, 1)
TRIALS = {
    "a/0.1/0": predict(0, 0, 1, 1, 1, 2),
    "a/0.1/1": predict(0, 0, 1, 1, 2, 2),
    "a/1/0": predict(0, 0, 1, 1, 2, 2),
    "other/1/0": predict(0, 0, 0, 0, 0, 0),
}


def test_gains_of_a_hand_made_study() -> None:
    table = class_gains("a", TRIALS, TRUE, LABELS, ZERO_SHOT)
    assert table["label"].tolist() == [name for name in LABELS for _ in range(3)]
    assert table["fraction"].tolist() == [0.0, 0.1, 1.0] * 3
    assert table["seeds"].tolist() == [1, 2, 1] * 3
    assert set(table["images"]) == {2}
    kabaddi = table[table["label"] == "Kabaddi"]
    assert kabaddi["recall"].tolist() == [0.0, 0.75, 1.0]
    assert kabaddi["recall_gain"].tolist() == [0.0, 0.75, 1.0]
    assert kabaddi["f1"].tolist() == pytest.approx([0.0, (2 / 3 + 1) / 2, 1.0])
    chess = table[table["label"] == "Chess"]
    assert chess["precision"].tolist() == pytest.approx([2 / 3, 1.0, 1.0])
    assert chess["recall_gain"].tolist() == [0.0, 0.0, 0.0]
    assert chess["f1_gain"].tolist() == pytest.approx([0.0, 0.2, 0.2])


def test_class_scores_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(4, size=80)
    probabilities = rng.dirichlet(np.ones(5), 80)
    table = class_gains("a", {"a/1/0": probabilities}, target, list("abcde"), probabilities)
    expected = precision_recall_fscore_support(
        target, probabilities.argmax(axis=1), labels=range(5), zero_division=0
    )
    own = table[table["fraction"] == 1.0]
    for column, values in zip(("precision", "recall", "f1"), expected, strict=False):
        np.testing.assert_allclose(own[column], values)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(ValueError, match="no trial of b"):
        class_gains("b", TRIALS, TRUE, LABELS, ZERO_SHOT)


def test_confusions_are_counted_in_both_directions() -> None:
    # Chess as Cricket once, Cricket as Chess twice, Kabaddi as Cricket once.
    predicted = predict(0, 1, 0, 0, 1, 2)
    table = most_confused_pairs(predicted, TRUE, LABELS, 15)
    assert table.to_numpy().tolist() == [
        ["Chess", "Cricket", 3.0, 1.0, 2.0, 0.75],
        ["Cricket", "Kabaddi", 1.0, 0.0, 1.0, 0.25],
    ]
    assert len(most_confused_pairs(predicted, TRUE, LABELS, 1)) == 1
    assert most_confused_pairs(predict(*TRUE), TRUE, LABELS, 15).empty


def ranks_of(similarity: np.ndarray, image_index: np.ndarray) -> list[list[int]]:
    ranks = retrieval_ranks(lambda part: similarity[part], image_index, similarity.shape[1])
    return [rank.tolist() for rank in ranks]


def test_hand_made_matrices_give_their_exact_ranks() -> None:
    similarity = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.3], [0.1, 0.7, 0.2], [0.0, 0.5, 0.6]])
    assert ranks_of(similarity, np.array([0, 1, 1, 2])) == [[1, 3, 1, 1], [1, 1, 1]]
    assert ranks_of(similarity, np.array([0, 1, 2, 0]))[1] == [1, 3, 3]
    assert ranks_of(similarity[:2, :2], np.array([0, 1])) == [[1, 2], [1, 1]]


def test_ties_and_nan_count_as_nearer() -> None:
    image_index = np.repeat(np.arange(5), 2)
    for value in (1.0, np.nan):
        flat = retrieval_metrics_of(np.full((10, 5), value), image_index)
        assert (flat["t2i"]["r1"], flat["i2t"]["r1"]) == (0.0, 0.0)
        assert flat["t2i"]["r5"] == 1.0


@pytest.mark.parametrize("k", [1, 5, 10])
def test_five_captions_an_image_agree_with_a_naive_loop(k: int) -> None:
    rng = np.random.default_rng(k)
    image_index = rng.permutation(np.repeat(np.arange(12), 5))
    similarity = rng.normal(size=(60, 12))
    similarity[np.arange(60), image_index] += 1.0
    found = retrieval_metrics_of(similarity, image_index)
    t2i = [image_index[m] in np.argsort(-row)[:k] for m, row in enumerate(similarity)]
    i2t = [n in image_index[np.argsort(-column)[:k]] for n, column in enumerate(similarity.T)]
    assert (found["t2i"][f"r{k}"], found["i2t"][f"r{k}"]) == (np.mean(t2i), np.mean(i2t))


def test_blocks_of_captions_give_the_same_recalls(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    image_index = rng.permutation(np.repeat(np.arange(12), 5))
    image, text = rng.normal(size=(12, 4)), rng.normal(size=(60, 4))
    whole = retrieval_metrics(image, text, image_index)
    monkeypatch.setattr(metrics, "_BLOCK", 12 * 7)
    assert retrieval_metrics(image, text, image_index) == whole
    assert 0.0 < whole["t2i"]["r5"] < 1.0


def test_recalls_of_perfect_embeddings_are_one_and_k_is_capped() -> None:
    found = retrieval_metrics(np.eye(3), np.eye(3)[[0, 0, 1, 2]], np.array([0, 0, 1, 2]))
    assert found == {way: {"r1": 1.0, "r5": 1.0, "r10": 1.0} for way in ("t2i", "i2t")}


def test_validation_recalls_are_flat_columns() -> None:
    columns = validation_recalls(np.eye(2), np.eye(2)[::-1], np.array([0, 1]))
    assert columns["validation_t2i_r1"] == 0.0
    assert columns["validation_i2t_r5"] == 1.0
    assert len(columns) == 6
