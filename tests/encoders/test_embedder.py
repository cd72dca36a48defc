from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.encoders import embedder as embedder_module
from sports_clip_pipeline.encoders.embedder import Embedder, embed_with_additional
from sports_clip_pipeline.encoders.embedding import Engine
from sports_clip_pipeline.encoders.feature_store import FeatureCache
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig

CONFIG = EmbedConfig(image_encoder="lite0", image_size=64, backend="torch", workers=1)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in this process: starting a worker takes seconds."""

    def here(*arguments: Any, **named: Any) -> Engine:
        return replace(Engine(*arguments, **named), workers=0)

    monkeypatch.setattr(embedder_module, "Engine", here)


def manifest_of(store: ImageStore) -> pd.DataFrame:
    digests = [hashlib.sha256(store.get_bytes(i)).hexdigest() for i in range(len(store))]
    return pd.DataFrame({"stored_sha256": digests})


def test_a_second_embedder_reads_what_the_first_has_computed(
    store: ImageStore, tmp_path: Path
) -> None:
    manifest, cache = manifest_of(store), FeatureCache(tmp_path)
    first = Embedder(CONFIG, cache, RunState())
    made = first.images("sports", store, manifest)
    assert made["features"].shape == (len(store), 1280)
    assert made["logits"].shape == (len(store), 1000)
    assert made["row"].tolist() == list(range(len(store)))
    assert first.audit()["backends"]["image"]["chosen"] == "torch"
    assert first.audit()["computed_per_s"]["sports full"] > 0

    second = Embedder(CONFIG, cache, RunState())
    order = [3, 0, 5, 1, 2, 4]
    read = second.images("sports", store, manifest.iloc[order])
    np.testing.assert_array_equal(read["features"], made["features"][order])
    assert second.audit()["computed_per_s"] == {"sports full": 0.0}
    assert second.audit()["backends"] == {}


@pytest.mark.parametrize(("rank", "gathers"), [("0", True), ("1", False)])
def test_of_processes_that_work_together_the_first_one_gathers(
    store: ImageStore, tmp_path: Path, in_process: None, monkeypatch: pytest.MonkeyPatch,
    rank: str, gathers: bool,
) -> None:  # fmt: skip
    manifest, cache = manifest_of(store), FeatureCache(tmp_path)
    tokens = [np.array([101, 2158, 102])]
    config = CONFIG.model_copy(update={"additional_encoders": ("lite1",)})

    def embed(together: bool) -> list[dict[str, np.ndarray]]:
        embedder = Embedder(config, cache, RunState(), together=together)
        several = embed_with_additional(
            embedder, config.additional_encoders, "sports", store, manifest, RunState()
        )[0]
        return [embedder.images("flickr8k", store, manifest), several, embedder.captions(tokens)]

    alone = embed(together=False)
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for found, wanted in zip(embed(together=True), alone, strict=True):
        assert found.keys() == (wanted.keys() if gathers else set())
        for name, value in found.items():
            np.testing.assert_array_equal(value, wanted[name])


def test_a_store_of_another_length_than_its_manifest_is_refused(
    store: ImageStore, tmp_path: Path
) -> None:
    embedder = Embedder(CONFIG, FeatureCache(tmp_path), RunState())
    with pytest.raises(ValueError, match="sports: 6 images for 5 manifest rows"):
        embedder.images("sports", store, manifest_of(store)[:5])


def test_the_audit_says_which_weights_and_view_made_the_features(tmp_path: Path) -> None:
    audit = Embedder(CONFIG, FeatureCache(tmp_path), RunState()).audit()
    assert audit["weights_sha256"]["image"].startswith("579344248a93")
    assert audit["preprocessing"]["size"] == 64
    assert audit["preprocessing"]["view"] == "full"


def test_features_of_several_views_are_the_mean_of_each_views_own(
    store: ImageStore, tmp_path: Path, in_process: None
) -> None:
    manifest, cache = manifest_of(store), FeatureCache(tmp_path)
    views = ("full", "centre", "full_flip")
    alone = [
        Embedder(CONFIG.model_copy(update={"views": (view,)}), cache, RunState()).images(
            "sports", store, manifest
        )
        for view in views
    ]
    together = Embedder(CONFIG.model_copy(update={"views": views}), cache, RunState())
    found = together.images("sports", store, manifest)
    assert not np.allclose(alone[0]["features"], alone[1]["features"], atol=1e-3)
    for name, atol in (("features", 1e-5), ("logits", 1e-2)):
        wanted = np.mean([arrays[name].astype(np.float64) for arrays in alone], axis=0)
        np.testing.assert_allclose(found[name], wanted, atol=atol)
    assert (found["features"].dtype, found["logits"].dtype) == (np.float32, np.float16)
    assert together.audit()["views"] == list(views)


def test_another_view_computes_that_view_alone(
    store: ImageStore, tmp_path: Path, in_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, cache = manifest_of(store), FeatureCache(tmp_path)
    Embedder(CONFIG, cache, RunState()).images("sports", store, manifest)
    computed = []
    real = embedder_module.embed_images

    def counted(store, keys, encoding_tasks, journal, together=False):
        computed.extend((s.preprocessing.view, len(s.space.missing(keys))) for s in encoding_tasks)
        return real(store, keys, encoding_tasks, journal)

    monkeypatch.setattr(embedder_module, "embed_images", counted)
    second = Embedder(CONFIG.model_copy(update={"views": ("full", "centre")}), cache, RunState())
    second.images("sports", store, manifest)
    assert computed == [("centre", len(store))]
    rates = second.audit()["computed_per_s"]
    assert rates["sports full"] == 0.0 < rates["sports centre"]

    third = Embedder(CONFIG.model_copy(update={"views": ("centre",)}), cache, RunState())
    third.images("sports", store, manifest)
    assert len(computed) == 1


def test_photographs_that_are_new_are_the_only_ones_computed(
    store: ImageStore, tmp_path: Path, in_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, cache = manifest_of(store), FeatureCache(tmp_path)
    before = manifest.copy()
    before.loc[[1, 4], "stored_sha256"] = ["11" * 32, "44" * 32]
    Embedder(CONFIG, cache, RunState()).images("sports", store, before)
    missing = []
    real = embedder_module.embed_images

    def counted(store, keys, encoding_tasks, journal, together=False):
        missing.extend(row for task in encoding_tasks for row in task.space.missing(keys))
        return real(store, keys, encoding_tasks, journal)

    monkeypatch.setattr(embedder_module, "embed_images", counted)
    Embedder(CONFIG, cache, RunState()).images("sports", store, manifest)
    assert missing == [1, 4]
