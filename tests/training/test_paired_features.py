from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.encoders.feature_store import FeatureRows
from sports_clip_pipeline.training.paired_features import PairedFeatures, pairs_of_split


def test_captions_of_each_image_are_its_own_rows() -> None:
    data = PairedFeatures(
        FeatureRows(np.zeros((3, 1))), FeatureRows(np.zeros((4, 1))), np.array([2, 0, 2, 1])
    )
    assert [rows.tolist() for rows in data.captions_of()] == [[1], [3], [0, 2]]


def test_a_split_is_renumbered_and_drops_images_without_captions() -> None:
    manifest = pd.DataFrame({"split": ["test", "train", "train", "train"]})
    captions = pd.DataFrame(
        {"split": ["train", "test", "train", "train"], "image_row": [3, 0, 1, 3]}
    )
    image, text = np.arange(4.0)[:, None], np.arange(4.0)[:, None] * 10
    split = pairs_of_split(image, text, manifest, captions, "train")
    assert np.asarray(split.image).ravel().tolist() == [1, 3]
    assert np.asarray(split.text).ravel().tolist() == [0, 20, 30]
    assert split.owner.tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="no captioned image in the split 'validation'"):
        pairs_of_split(image, text, manifest, captions, "validation")


def test_views_of_a_split_follow_its_images() -> None:
    manifest = pd.DataFrame({"split": ["test", "train", "train"]})
    captions = pd.DataFrame({"split": ["train", "train"], "image_row": [2, 1]})
    image = np.arange(3.0)[:, None]
    found = pairs_of_split(image, np.zeros((2, 1)), manifest, captions, "train", [image, -image])
    np.testing.assert_array_equal(np.stack(found.views)[:, :, 0], [[1, 2], [-1, -2]])
    assert pairs_of_split(image, np.zeros((2, 1)), manifest, captions, "train").views == ()
