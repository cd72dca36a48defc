import time

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.data.duplicates import (
    _near_pairs,
    duplicate_actions,
    group_near_duplicates,
    list_duplicates,
)

GREY = np.full((1, 256), 100, np.uint8)


def hexed(*values: int) -> list[str]:
    return [f"{value:016x}" for value in values]


def test_equal_hashes_are_duplicates_whatever_the_thumbnails() -> None:
    thumbnails = np.concatenate([GREY, GREY + 100, GREY])
    assert group_near_duplicates(hexed(7, 7, 1 << 40), thumbnails, 2, 8.0).tolist() == [0, 0, 1]


def test_near_hashes_are_duplicates_only_if_thumbnails_are_similar() -> None:
    thumbnails = np.concatenate([GREY, GREY + 8, GREY + 9])
    hashes = hexed(0, 0b11, 0b11 << 60)
    assert group_near_duplicates(hashes, thumbnails, 2, 8.0).tolist() == [0, 0, 1]
    assert group_near_duplicates(hashes, thumbnails, 2, 9.0).tolist() == [0, 0, 0]
    assert group_near_duplicates(hashes, thumbnails, 1, 9.0).tolist() == [0, 1, 2]
    assert group_near_duplicates(hashes, thumbnails, 0, 9.0).tolist() == [0, 1, 2]


def test_groups_are_connected_components_numbered_by_first_member() -> None:
    hashes = hexed(0xFF00, 0b1111, 0b11, 0, 0xFF00)
    groups = group_near_duplicates(hashes, np.repeat(GREY, 5, axis=0), 2, 8.0)
    assert groups.tolist() == [0, 1, 1, 1, 0]
    assert group_near_duplicates([], np.empty((0, 256), np.uint8), 2, 8.0).tolist() == []


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_banded_search_equals_naive_search(bits: int) -> None:
    rng = np.random.default_rng(bits)
    base = rng.integers(0, 2**63, 60, dtype=np.uint64)
    flips = np.uint64(1) << rng.integers(0, 64, (60, 5), dtype=np.uint64)
    values = np.unique(
        np.concatenate(
            [base, *(base ^ np.bitwise_xor.reduce(flips[:, :k], axis=1) for k in range(1, 6))]
        )
    )
    naive = {
        (i, j)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if int(values[i] ^ values[j]).bit_count() <= bits
    }
    assert naive
    assert set(map(tuple, _near_pairs(values, bits).tolist())) == naive


def test_search_is_fast_if_most_bits_are_equal() -> None:
    rng = np.random.default_rng(0)
    values = np.unique(rng.integers(0, 2**24, 22_000, dtype=np.uint64) << np.uint64(20))
    start = time.perf_counter()
    _near_pairs(values, 2)
    assert time.perf_counter() - start < 10


def images(*rows: tuple[str, str, str | None, int]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["corpus", "split", "label", "group"])
    return frame.assign(image=[f"{k}.jpg" for k in range(len(rows))], sha256="x")


TEST, LABELLED = ("sports", "test", None), ("sports", "train", "chess")


@pytest.mark.parametrize(
    ("group", "actions"),
    [
        ([LABELLED, LABELLED], "kept kept"),
        ([LABELLED, TEST], "dropped kept"),
        ([TEST, TEST], "kept kept"),
        ([("flickr8k", "train", None), LABELLED], "dropped kept"),
        ([("flickr8k", "train", None), ("flickr8k", "test", None)], "dropped kept"),
        ([("flickr8k", "validation", None), ("flickr8k", "test", None)], "dropped kept"),
        ([("flickr8k", "test", None), LABELLED, TEST], "kept dropped kept"),
        ([("flickr8k", "validation", None), LABELLED], "kept dropped"),
        ([LABELLED, ("sports", "train", "tennis")], "quarantined quarantined"),
        ([LABELLED, ("sports", "train", "tennis"), TEST], "quarantined quarantined kept"),
        (
            [LABELLED, ("sports", "train", "tennis"), ("flickr8k", "train", None)],
            "quarantined quarantined kept",
        ),
    ],
)
def test_group_keeps_its_highest_tier_and_no_conflicting_label(group, actions: str) -> None:
    frame = images(*((*member, 0) for member in group), ("sports", "train", "tennis", 1))
    assert duplicate_actions(frame).tolist() == [*actions.split(), "kept"]


def test_groups_of_two_or_more_are_listed_with_their_kind() -> None:
    frame = images((*LABELLED, 0), (*LABELLED, 0), (*TEST, 0), (*LABELLED, 1))
    frame["sha256"] = ["a", "a", "b", "c"]
    table = list_duplicates(frame, duplicate_actions(frame))
    assert table["image"].tolist() == ["0.jpg", "1.jpg", "2.jpg"]
    assert table["kind"].tolist() == ["exact", "exact", "near"]
    assert table["action"].tolist() == ["dropped", "dropped", "kept"]
