from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.fewshot.active_learning import find_issues

LABELS = ("Chess", "Cricket", "Kabaddi")


def toy(rows: int = 90, wrong: int = 6) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Names, given labels of which the first `wrong` are moved on by one, probabilities."""
    rng = np.random.default_rng(0)
    true = np.arange(rows) % 3
    probabilities = rng.dirichlet(np.ones(3), rows) * 0.3 + 0.7 * np.eye(3)[true]
    probabilities[:wrong] = 0.1 * probabilities[:wrong] + 0.9 * np.eye(3)[true[:wrong]]
    given = true.copy()
    given[:wrong] = (given[:wrong] + 1) % 3
    return [f"{i}.jpg" for i in range(rows)], given, probabilities, true


def test_moved_labels_are_found_and_the_true_ones_suggested() -> None:
    images, given, probabilities, true = toy()
    table = find_issues(images, given, probabilities, LABELS)
    assert set(table["image"]) == {f"{i}.jpg" for i in range(6)}
    place = [int(name.split(".")[0]) for name in table["image"]]
    assert table["label"].tolist() == [LABELS[given[i]] for i in place]
    assert table["suggested"].tolist() == [LABELS[true[i]] for i in place]
    assert table["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table["self_confidence"].is_monotonic_increasing
    expected = probabilities[place, given[place]] - probabilities[place].max(axis=1)
    np.testing.assert_allclose(table["margin"], expected)


def test_the_list_agrees_with_the_definition_written_out() -> None:
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
    found = find_issues([str(i) for i in range(200)], target, probabilities, LABELS)
    assert set(found["image"]) == expected


def test_rows_never_held_out_are_passed_over_and_the_list_is_cut() -> None:
    images, given, probabilities, _ = toy()
    probabilities[[0, 50]] = np.nan
    table = find_issues(images, given, probabilities.astype(np.float16), LABELS)
    assert set(table["image"]) == {f"{i}.jpg" for i in range(1, 6)}
    assert len(find_issues(images, given, probabilities, LABELS, top=2)) == 2


def test_nothing_wrong_or_nothing_known_gives_an_empty_table() -> None:
    images, _, probabilities, true = toy()
    columns = ["image", "label", "suggested", "self_confidence", "margin", "rank"]
    for rows in (probabilities, np.full_like(probabilities, np.nan)):
        table = find_issues(images, true, rows, LABELS)
        assert table.empty
        assert list(table.columns) == columns


def test_a_class_without_images_does_no_harm() -> None:
    images, given, probabilities, _ = toy()
    wide = np.hstack([probabilities, np.zeros((90, 1))])
    assert len(find_issues(images, given, wide, (*LABELS, "Luge"))) == 6


def test_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 images, 2 labels, 2 rows"):
        find_issues(["a"], np.zeros(2, int), np.ones((2, 3)), LABELS)
