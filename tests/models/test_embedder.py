from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.config.embed import EmbedConfig
from sports_clip_pipeline.corpora.store import ImageStore
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.models.embedder import Embedder
from sports_clip_pipeline.models.feature_cache import FeatureCache

CONFIG = EmbedConfig(image_tower="lite0", image_size=64, backend="torch", workers=1)


def manifest_of(store: ImageStore) -> pd.DataFrame:
    digests = [hashlib.sha256(store.get_bytes(i)).hexdigest() for i in range(len(store))]
    return pd.DataFrame({"stored_sha256": digests})


def test_a_second_embedder_reads_what_the_first_has_computed(
    store: ImageStore, tmp_path: Path
) -> None:
    manifest, cache = manifest_of(store), FeatureCache(tmp_path)
    first = Embedder(CONFIG, cache, Journal())
    made = first.images("sports", store, manifest)
    assert made["features"].shape == (len(store), 1280)
    assert made["logits"].shape == (len(store), 1000)
    assert made["row"].tolist() == list(range(len(store)))
    assert first.audit()["backends"]["image"]["chosen"] == "torch"
    assert first.audit()["computed_per_s"]["sports full"] > 0

    second = Embedder(CONFIG, cache, Journal())
    order = [3, 0, 5, 1, 2, 4]
    read = second.images("sports", store, manifest.iloc[order])
    np.testing.assert_array_equal(read["features"], made["features"][order])
    assert second.audit()["computed_per_s"] == {"sports full": 0.0}
    assert second.audit()["backends"] == {}


def test_a_store_of_another_length_than_its_manifest_is_refused(
    store: ImageStore, tmp_path: Path
) -> None:
    embedder = Embedder(CONFIG, FeatureCache(tmp_path), Journal())
    with pytest.raises(ValueError, match="sports: 6 images for 5 manifest rows"):
        embedder.images("sports", store, manifest_of(store)[:5])


def test_the_audit_says_which_weights_and_view_made_the_features(tmp_path: Path) -> None:
    audit = Embedder(CONFIG, FeatureCache(tmp_path), Journal()).audit()
    assert audit["weights_sha256"]["image"].startswith("579344248a93")
    assert audit["preprocessing"]["size"] == 64
    assert audit["preprocessing"]["view"] == "full"
