import numpy as np
import pytest

from sports_clip_pipeline.fewshot.active_learning import (
    find_issues,
    query_images,
    query_typical,
    query_uncertain,
)

LABELS = ("Chess", "Cricket")


def circle(*degrees: float) -> np.ndarray:
    """(M, 2) points of norm 1."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


NONE = np.empty((0, 2))


def test_typical_images_come_from_the_largest_cluster_without_a_label() -> None:
    features = circle(0, 2, 4, 90, 93, 95, 96, 98, 180, 181)
    chosen, described = query_typical(features, NONE, 3, seed=0)
    assert chosen.tolist() == [5, 1, 8]  # the middle of five, of three, of two
    assert described == [(5, 0), (3, 0), (2, 0)]


def test_a_cluster_with_a_label_comes_later() -> None:
    features = circle(0, 2, 4, 90, 93, 95, 96, 98, 180, 181)
    chosen, _ = query_typical(features, circle(94), 2, seed=0)
    assert chosen.tolist() == [1, 8]
    chosen, _ = query_typical(features, circle(94), 9, seed=0)
    assert len(set(chosen.tolist())) == 9


def test_of_uncertain_images_those_far_apart_are_queried() -> None:
    features = circle(0, 1, 2, 50, 51, 90)
    margin = np.array([0.0, 0.01, 0.02, 0.03, 0.04, 0.9])
    assert query_uncertain(margin, features, NONE, 2, pool=2).tolist() == [0, 3]
    assert query_uncertain(margin, features, circle(49), 1, pool=5).tolist() == [0]
    assert query_uncertain(margin, features, circle(-5), 2, pool=3).tolist() == [5, 3]


def test_greedy_k_centre_agrees_with_the_naive_twin() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 5))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labelled, unlabelled = features[:8], features[8:]
    margin = rng.random(52)
    candidates = sorted(range(52), key=lambda i: margin[i])[:50]
    centres, expected = list(labelled), []
    for _ in range(5):
        far = {
            i: min(np.linalg.norm(unlabelled[i] - c) for c in centres)
            for i in candidates
            if i not in expected
        }
        expected.append(max(far, key=far.__getitem__))
        centres.append(unlabelled[expected[-1]])
    assert query_uncertain(margin, unlabelled, labelled, 5).tolist() == expected


def test_few_labels_query_typical_and_many_labels_uncertain_images() -> None:
    features = circle(0, 2, 4, 90)
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0.7, 0.3]])
    names = ["a", "b", "c", "d"]
    few = query_images(names, probabilities, features, NONE, LABELS, 2)
    assert few["image"].tolist() == ["b", "d"]
    assert few["reason"][0] == "typical of 3 alike images, of which none had a label"
    many = query_images(names, probabilities, features, circle(*[1] * 20), LABELS, 1)
    assert many["image"].tolist() == ["d"]
    assert many["reason"].tolist() == ["undecided between Chess and Cricket"]
    assert many["margin"].tolist() == pytest.approx([0.4])
    assert list(many.columns) == ["image", "rank", "reason", "predicted", "probability", "margin"]


@pytest.mark.parametrize("labelled", [NONE, circle(*[45] * 20)])
def test_a_budget_beyond_all_images_queries_each_once(labelled: np.ndarray) -> None:
    probabilities = np.full((4, 2), 0.5, dtype=np.float16)
    table = query_images(list("abcd"), probabilities, circle(0, 0, 0, 90), labelled, LABELS, 9)
    assert sorted(table["image"]) == list("abcd")
    assert table["rank"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("labelled", [circle(0, 90), circle(*[45] * 20)])
def test_without_unlabelled_images_the_table_is_empty(labelled: np.ndarray) -> None:
    table = query_images([], np.zeros((0, 2)), np.zeros((0, 2)), labelled, LABELS, 9)
    assert table.empty and "reason" in table


def test_other_lengths_and_no_budget_are_refused() -> None:
    with pytest.raises(ValueError, match="1 images, 2 probabilities, 2 features"):
        query_images(["a"], np.ones((2, 2)), circle(0, 1), NONE, LABELS, 1)
    with pytest.raises(ValueError, match="at least 1 image, got 0"):
        query_images(["a"], np.ones((1, 2)), circle(0), NONE, LABELS, 0)
    with pytest.raises(ValueError, match="1 images, 2 labels, 2 rows"):
        find_issues(["a"], np.zeros(2, int), np.ones((2, 3)), SPORTS)


SPORTS = ("Chess", "Cricket", "Kabaddi")


def with_wrong_labels(
    rows: int = 90, wrong: int = 6
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Names, given labels of which the first `wrong` are other than the true, probabilities."""
    rng = np.random.default_rng(0)
    true = np.arange(rows) % 3
    probabilities = rng.dirichlet(np.ones(3), rows) * 0.3 + 0.7 * np.eye(3)[true]
    probabilities[:wrong] = 0.1 * probabilities[:wrong] + 0.9 * np.eye(3)[true[:wrong]]
    given = true.copy()
    given[:wrong] = (given[:wrong] + 1) % 3
    return [f"{i}.jpg" for i in range(rows)], given, probabilities, true


def test_wrong_labels_are_found_and_the_true_ones_suggested() -> None:
    images, given, probabilities, true = with_wrong_labels()
    table = find_issues(images, given, probabilities, SPORTS)
    assert set(table["image"]) == {f"{i}.jpg" for i in range(6)}
    rows = [int(name.split(".")[0]) for name in table["image"]]
    assert table["label"].tolist() == [SPORTS[given[i]] for i in rows]
    assert table["suggested"].tolist() == [SPORTS[true[i]] for i in rows]
    assert table["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table["self_confidence"].is_monotonic_increasing
    expected = probabilities[rows, given[rows]] - probabilities[rows].max(axis=1)
    np.testing.assert_allclose(table["margin"], expected)


def test_issues_agree_with_the_definition_of_confident_learning() -> None:
    rng = np.random.default_rng(3)
    target = rng.integers(3, size=200)
    probabilities = rng.dirichlet(np.ones(3), 200) * 0.5 + 0.5 * np.eye(3)[target]
    usual = [probabilities[target == c, c].mean() for c in range(3)]
    expected = set()
    for i, row in enumerate(probabilities):
        confident = [c for c in range(3) if row[c] >= usual[c]]
        chosen = max(confident, key=lambda c: row[c]) if confident else target[i]
        if chosen != target[i] and row.argmax() != target[i]:
            expected.add(str(i))
    found = find_issues([str(i) for i in range(200)], target, probabilities, SPORTS)
    assert set(found["image"]) == expected


def test_rows_never_held_out_are_skipped_and_the_list_is_cut() -> None:
    images, given, probabilities, _ = with_wrong_labels()
    assert len(find_issues(images, given, probabilities, SPORTS, top=2)) == 2
    wide = np.hstack([probabilities, np.zeros((90, 1))])
    assert len(find_issues(images, given, wide, (*SPORTS, "Luge"))) == 6, "a class without images"
    probabilities[[0, 50]] = np.nan
    table = find_issues(images, given, probabilities.astype(np.float16), SPORTS)
    assert set(table["image"]) == {f"{i}.jpg" for i in range(1, 6)}


def test_nothing_wrong_or_nothing_held_out_gives_an_empty_table() -> None:
    images, _, probabilities, true = with_wrong_labels()
    for rows in (probabilities, np.full_like(probabilities, np.nan)):
        table = find_issues(images, true, rows, SPORTS)
        assert table.empty
        columns = ["image", "label", "suggested", "self_confidence", "margin", "rank"]
        assert list(table.columns) == columns
