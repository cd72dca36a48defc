import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.data.duplicates import (
    duplicate_actions,
    group_duplicates,
    list_duplicates,
)


def test_groups_are_connected_components_numbered_by_first_member() -> None:
    pairs = np.array([[0, 1], [1, 3]])
    assert group_duplicates([4, 0, 1, 3, 4, 2], pairs).tolist() == [0, 1, 1, 1, 0, 2]
    assert group_duplicates([], np.empty((0, 2), np.int64)).tolist() == []


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
