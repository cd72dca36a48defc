from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.encoders.features import FeatureRows
from sports_clip_pipeline.training.image_text_pairs import ImageTextPairs, pairs_of_split


def test_captions_of_each_image_are_its_own_rows() -> None:
    data = ImageTextPairs(
        FeatureRows(np.zeros((3, 1))), FeatureRows(np.zeros((4, 1))), np.array([2, 0, 2, 1])
    )
    assert [rows.tolist() for rows in data.captions_of()] == [[1], [3], [0, 2]]


def test_a_split_is_renumbered_and_drops_images_without_captions() -> None:
    manifest = pd.DataFrame({"split": ["test", "train", "train", "train"]})
    captions = pd.DataFrame(
        {"split": ["train", "test", "train", "train"], "image_row": [3, 0, 1, 3]}
    )
    image, text = np.arange(4.0)[:, None], np.arange(4.0)[:, None] * 10
    split = pairs_of_split(image, text, manifest, captions, "train", [image, -image])
    assert np.asarray(split.image).ravel().tolist() == [1, 3]
    assert np.asarray(split.text).ravel().tolist() == [0, 20, 30]
    assert split.image_index.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(np.stack(split.views)[:, :, 0], [[1, 3], [-1, -3]])
    with pytest.raises(ValueError, match="no captioned image in the split 'validation'"):
        pairs_of_split(image, text, manifest, captions, "validation")


def test_rows_tokens_and_features_are_of_the_same_pairs(corpus) -> None:
    pairs = corpus.pairs("validation")
    np.testing.assert_array_equal(pairs.image, corpus.image[pairs.rows])
    assert pairs.rows.tolist() == [10, 11, 12, 13]
    expected = corpus.captions[corpus.captions["split"] == "validation"]
    assert [ids.tolist() for ids in pairs.token_ids] == expected["token_ids"].tolist()
    assert pairs.rows[pairs.image_index].tolist() == expected["image_row"].tolist()


def test_images_without_captions_are_left_out(corpus) -> None:
    without = replace(corpus, captions=corpus.captions[corpus.captions["image_row"] != 11])
    text = corpus.text[(corpus.captions["image_row"] != 11).to_numpy()]
    assert replace(without, text=text).pairs("validation").rows.tolist() == [10, 12, 13]


def test_a_store_of_another_length_than_its_manifest_is_an_error(corpus) -> None:
    with pytest.raises(ValueError, match="14 images for 13 manifest rows"):
        replace(corpus, manifest=corpus.manifest[:13]).pairs("train")
