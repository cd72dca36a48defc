from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.data.splits import (
    labels_for_fraction,
    make_splits,
    seats,
    split_captioned,
)
from sports_clip_pipeline.errors import UserFacingError


def manifest(sizes: dict[str, int], tests: int = 3, twins: int = 0) -> pd.DataFrame:
    """`twins` first images of each class share a group."""
    labels = [label for label, size in sizes.items() for _ in range(size)]
    groups = list(range(len(labels) + tests))
    for label in sizes:
        start = labels.index(label)
        groups[start : start + twins] = [start] * twins
    return pd.DataFrame(
        {
            "image": [f"{k:05d}.jpg" for k in range(len(labels) + tests)],
            "label": pd.Series([*labels, *[None] * tests], dtype="str"),
            "split": ["train"] * len(labels) + ["test"] * tests,
            "group": groups,
        }
    )


def test_test_split_has_its_share_of_every_class() -> None:
    splits = make_splits(manifest({"a": 50, "b": 24, "c": 2}), ["a", "b", "c"], 0.2)
    counts = splits.groupby(["split", "label"], dropna=False).size()
    assert counts["test"].to_dict() == {"a": 10, "b": 5, "c": 1}
    assert counts["development"].to_dict() == {"a": 40, "b": 19, "c": 1}
    assert counts["unlabelled"].sum() == 3


def test_duplicates_stay_in_one_split_of_the_right_size() -> None:
    for seed in range(20):
        splits = make_splits(manifest({"a": 20, "b": 20}, twins=3), ["a", "b"], 0.2, seed)
        assert (splits.groupby("group")["split"].nunique() == 1).all()
        assert (splits["split"] == "test").sum() == 8


def test_class_of_large_groups_has_both_splits() -> None:
    frame = manifest({"a": 10}, tests=0)
    frame["group"] = [0] * 6 + [1] * 4
    parts = make_splits(frame, ["a"], 0.2)["split"]
    assert parts.tolist() == ["development"] * 6 + ["test"] * 4


@pytest.mark.parametrize("twins", [1, 2])
def test_class_that_cannot_be_split_is_named(twins: int) -> None:
    frame = manifest({"a": 5, "b": twins})
    frame.loc[frame["label"] == "b", "group"] = 99
    with pytest.raises(UserFacingError, match=f"the class b has {twins} usable images in 1 "):
        make_splits(frame, ["a", "b"])


def test_split_depends_only_on_the_seed() -> None:
    frame = manifest({"a": 50, "b": 50})
    first = make_splits(frame, ["a", "b"], 0.2, 1)
    again = make_splits(frame.iloc[::-1], ["b", "a"], 0.2, 1).iloc[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, again)
    other = make_splits(frame, ["a", "b"], 0.2, 2)
    assert (first["split"] != other["split"]).any()


def test_ranks_of_each_class_start_at_zero() -> None:
    splits = make_splits(manifest({"a": 10, "b": 5}), ["a", "b"])
    development = splits[splits["split"] == "development"]
    for seed in range(5):
        ranks = development.groupby("label")[f"rank_seed_{seed}"].agg(sorted)
        assert ranks.to_dict() == {"a": list(range(8)), "b": list(range(4))}
    outside = splits.loc[splits["split"] != "development"].filter(like="rank_seed_")
    assert (outside == -1).all(axis=None)
    assert splits["rank_seed_0"].tolist() != splits["rank_seed_1"].tolist()


def test_largest_remainder_by_hand() -> None:
    # 10 % of 55, 33 and 12 is 5.5, 3.3, 1.2: 9 whole seats, the tenth to the remainder of .5.
    assert seats(np.array([55, 33, 12]), Fraction(1, 10)).tolist() == [6, 3, 1]
    assert seats(np.array([55, 33, 12]), Fraction(1)).tolist() == [55, 33, 12]
    assert seats(np.array([55, 33, 12]), Fraction(0)).tolist() == [0, 0, 0]


def test_seats_are_monotonic_in_the_share() -> None:
    """Every share of a corpus, in steps of one image; each class within one of its quota."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        sizes = rng.integers(8, 90, 7)
        total, before = int(sizes.sum()), np.zeros(7, int)
        for n in range(1, total + 1):
            now = seats(sizes, Fraction(n, total))
            assert now.sum() == n
            assert (now >= before).all()
            assert (np.abs(now - n * sizes / total) <= 1 + 1e-9).all()
            before = now


def test_smaller_fraction_is_a_subset_of_a_larger_one() -> None:
    splits = make_splits(manifest({"a": 700, "b": 340, "c": 511}), ["a", "b", "c"])
    fractions = [0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.11, 0.25, 0.5, 0.77, 1.0]
    for seed in range(5):
        before: set[int] = set()
        for fraction in fractions:
            rows = set(labels_for_fraction(splits, fraction, seed).tolist())
            assert before < rows
            before = rows
            if fraction == 0.05:  # proportional by class: of 560, 272 and 409 images
                counts = splits.iloc[sorted(rows)]["label"].value_counts()
                assert counts.to_dict() == {"a": 28, "b": 14, "c": 20}
    assert before == set(np.flatnonzero(splits["split"] == "development"))


def test_too_small_fraction_names_the_class_and_the_least_fraction() -> None:
    splits = make_splits(manifest({"a": 1000, "b": 75}), ["a", "b"])
    with pytest.raises(UserFacingError, match=r"class b .* 60 .*; use 0\.0167 or more"):
        labels_for_fraction(splits, 0.01, 0)
    assert len(labels_for_fraction(splits, 0.0167, 0))


def test_fraction_with_one_image_of_each_class_is_refused_with_the_least_for_two() -> None:
    splits = make_splits(manifest({"a": 13, "b": 12}), ["a", "b"])  # 10 and 10 for development
    with pytest.raises(UserFacingError, match=r"one image of each class.*; use 0\.2 or more"):
        labels_for_fraction(splits, 0.1, 0)
    assert len(labels_for_fraction(splits, 0.2, 0)) == 4
    pairs = make_splits(manifest({"a": 2, "b": 2}), ["a", "b"])
    with pytest.raises(UserFacingError, match="add images: three in one class"):
        labels_for_fraction(pairs, 1.0, 0)


def test_fraction_or_seed_out_of_range_is_refused() -> None:
    splits = make_splits(manifest({"a": 10}), ["a"])
    for fraction in (0, -0.1, 1.01):
        with pytest.raises(UserFacingError, match="outside"):
            labels_for_fraction(splits, fraction, 0)
    with pytest.raises(ValueError, match=r"seeds 0\.\.4, got 5"):
        labels_for_fraction(splits, 1.0, 5)


def test_captioned_images_are_split_in_the_requested_numbers() -> None:
    groups = np.arange(100)
    groups[:6] = [0, 0, 0, 1, 1, 1]
    eligible = np.arange(100) != 99
    for seed in range(10):
        split = split_captioned(groups, eligible, 11, 12, 0.2, seed)
        assert [(split == name).sum() for name in ("validation", "test")] == [11, 12]
        assert len(set(split[:3])) == len(set(split[3:6])) == 1
        assert split[99] == "train"
    # A small corpus holds out at most a share.
    split = split_captioned(np.arange(80), np.ones(80, bool), 1000, 1000, 0.125, 0)
    assert [(split == name).sum() for name in ("train", "validation", "test")] == [60, 10, 10]
