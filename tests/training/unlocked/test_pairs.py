from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sports_clip_pipeline.training.unlocked.pairs import tower_pairs_of_split


def test_rows_tokens_and_features_speak_of_the_same_pairs(corpus) -> None:
    pairs = corpus.pairs("validation")
    np.testing.assert_array_equal(pairs.features.image, corpus.image[pairs.rows])
    assert pairs.rows.tolist() == [10, 11, 12, 13]
    assert len(pairs) == 4
    mine = corpus.captions[corpus.captions["split"] == "validation"]
    assert [ids.tolist() for ids in pairs.token_ids] == mine["token_ids"].tolist()
    assert pairs.rows[pairs.features.owner].tolist() == mine["image_row"].tolist()


def test_images_without_captions_are_left_out(corpus) -> None:
    without = replace(corpus, captions=corpus.captions[corpus.captions["image_row"] != 11])
    text = corpus.text[(corpus.captions["image_row"] != 11).to_numpy()]
    assert replace(without, text=text).pairs("validation").rows.tolist() == [10, 12, 13]


def test_a_store_of_another_length_than_its_manifest_is_refused(corpus) -> None:
    with pytest.raises(ValueError, match="14 images for 13 manifest rows"):
        tower_pairs_of_split(
            corpus.image, corpus.text, corpus.manifest[:13], corpus.captions, "train", corpus.store
        )
