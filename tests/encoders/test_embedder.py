import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.encoders import embedder as embedder_module
from sports_clip_pipeline.encoders.embedder import Embedder
from sports_clip_pipeline.encoders.features import FeatureCache
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig

CONFIG = EmbedConfig(image_encoder="lite0", image_size=64, backend="torch", workers=1)
VIEWS = ("full", "centre")
TWO_VIEWS = CONFIG.model_copy(update={"views": VIEWS})


@pytest.fixture
def manifest(store: ImageStore) -> pd.DataFrame:
    digests = [hashlib.sha256(store.get_bytes(i)).hexdigest() for i in range(len(store))]
    return pd.DataFrame({"stored_sha256": digests})


def test_a_second_embedder_reads_what_the_first_has_computed(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    cache = FeatureCache(tmp_path)
    first = Embedder(CONFIG.model_copy(update={"workers": 2}), cache, RunState())
    made = first.images("sports", store, manifest)
    assert made["features"].shape == (len(store), 1280)
    assert made["logits"].shape == (len(store), 1000)
    assert made["row"].tolist() == list(range(len(store)))
    assert first.audit["backends"]["image"]["chosen"] == "torch"
    assert first.audit["computed_per_s"]["sports full"] > 0
    assert first.audit["weights_sha256"]["image"].startswith("579344248a93")
    assert (first.audit["preprocessing"]["size"], first.audit["views"]) == (64, ["full"])

    second = Embedder(CONFIG, cache, RunState())
    order = [3, 0, 5, 1, 2, 4]
    read = second.images("sports", store, manifest.iloc[order])
    np.testing.assert_array_equal(read["features"], made["features"][order])
    assert second.audit["computed_per_s"] == {"sports full": 0.0}
    assert second.audit["backends"] == {}


@pytest.mark.parametrize(("rank", "gathers"), [("0", True), ("1", False)])
def test_only_the_first_process_of_torchrun_collects_the_features(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, rank: str, gathers: bool,
) -> None:  # fmt: skip
    cache = FeatureCache(tmp_path)
    tokens = [np.array([101, 2158, 102])]
    config = CONFIG.model_copy(update={"additional_encoders": ("lite1",)})

    def embed(together: bool) -> list[dict[str, np.ndarray]]:
        embedder = Embedder(config, cache, RunState(), together=together)
        several = embedder.images("sports", store, manifest, additional=True)
        return [embedder.images("flickr8k", store, manifest), several, embedder.captions(tokens)]

    alone = embed(together=False)
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for found, expected in zip(embed(together=True), alone, strict=True):
        assert found.keys() == (expected.keys() if gathers else set())
        for name, value in found.items():
            np.testing.assert_array_equal(value, expected[name])


def test_a_store_of_another_length_than_its_manifest_is_refused(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    embedder = Embedder(CONFIG, FeatureCache(tmp_path), RunState())
    with pytest.raises(ValueError, match="sports: 6 images for 5 manifest rows"):
        embedder.images("sports", store, manifest[:5])


def test_features_of_several_views_are_their_mean(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    cache = FeatureCache(tmp_path)
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
        expected = np.mean([arrays[name].astype(np.float64) for arrays in alone], axis=0)
        np.testing.assert_allclose(found[name], expected, atol=atol)
    assert (found["features"].dtype, found["logits"].dtype) == (np.float32, np.float16)
    assert together.audit["views"] == list(views)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """View and missing rows of each task that is computed."""
    found: list[tuple[str, list[int]]] = []
    real = embedder_module.embed_images

    def counted(store, keys, tasks, *rest):
        found.extend((task.preprocessing.view, task.space.missing(keys)) for task in tasks)
        return real(store, keys, tasks, *rest)

    monkeypatch.setattr(embedder_module, "embed_images", counted)
    return found


def test_only_the_new_view_is_computed(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path, computed: list
) -> None:
    cache = FeatureCache(tmp_path)
    Embedder(CONFIG, cache, RunState()).images("sports", store, manifest)
    second = Embedder(TWO_VIEWS, cache, RunState())
    second.images("sports", store, manifest)
    every = list(range(len(store)))
    assert computed == [("full", every), ("centre", every)]
    rates = second.audit["computed_per_s"]
    assert rates["sports full"] == 0.0 < rates["sports centre"]

    third = Embedder(CONFIG.model_copy(update={"views": ("centre",)}), cache, RunState())
    third.images("sports", store, manifest)
    assert len(computed) == 2


def test_only_new_images_are_computed(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path, computed: list
) -> None:
    cache = FeatureCache(tmp_path)
    before = manifest.copy()
    before.loc[[1, 4], "stored_sha256"] = ["11" * 32, "44" * 32]
    Embedder(CONFIG, cache, RunState()).images("sports", store, before)
    Embedder(CONFIG, cache, RunState()).images("sports", store, manifest)
    assert computed[1] == ("full", [1, 4])


def embed_two(
    store: ImageStore, manifest: pd.DataFrame, cache: FeatureCache
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    config = TWO_VIEWS.model_copy(update={"additional_encoders": ("lite1",)})
    embedder = Embedder(config, cache, RunState())
    arrays = embedder.images("sports", store, manifest, additional=True)
    return arrays, embedder.whole_audit(store)


def test_an_additional_encoder_has_the_features_that_it_has_as_the_first_one(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    arrays, _ = embed_two(store, manifest, FeatureCache(tmp_path / "a"))
    config = TWO_VIEWS.model_copy(update={"image_encoder": "lite1"})
    alone = Embedder(config, FeatureCache(tmp_path / "b"), RunState())
    expected = alone.images("sports", store, manifest)["features"]
    assert list(arrays) == ["features", "logits", "row", "additional.lite1"]
    np.testing.assert_array_equal(arrays["additional.lite1"], expected)
    assert arrays["additional.lite1"].dtype == np.float32


def test_the_audit_has_a_row_for_each_encoder_with_its_inference_cost(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    _, audit = embed_two(store, manifest, FeatureCache(tmp_path))
    assert json.dumps(audit)
    assert audit["additional_encoders"] == ["lite1"]
    assert [row["name"] for row in audit["encoders"]] == ["lite0", "lite1"]
    assert [row["width"] for row in audit["encoders"]] == [1280, 1280]
    assert all(row["views"] == list(VIEWS) for row in audit["encoders"])
    assert audit["encoders"][0]["preprocessing"] == audit["preprocessing"]
    trials = audit["backends"]["additional.lite1"]["trials"]
    expected = len(VIEWS) * trials[0]["core_ms_per_item"]
    assert audit["encoders"][1]["ms_per_image"] == pytest.approx(expected, abs=0.01)
    assert set(audit["backends"]) == {"image", "additional.lite1"}
    assert set(audit["computed_per_s"]) == {
        f"sports{encoder} {view}" for encoder in ("", " lite1") for view in VIEWS
    }


def test_cached_features_keep_their_inference_cost(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    cache = FeatureCache(tmp_path)
    arrays, audit = embed_two(store, manifest, cache)
    again, second = embed_two(store, manifest, cache)
    np.testing.assert_array_equal(again["additional.lite1"], arrays["additional.lite1"])
    assert second["encoders"] == audit["encoders"]
    assert second["backends"] == {}
    assert set(second["computed_per_s"].values()) == {0.0}


def test_a_lost_inference_cost_is_measured_again_though_features_are_cached(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    embed_two(store, manifest, FeatureCache(tmp_path))
    for record in tmp_path.rglob("*.backend.json"):
        record.unlink()
    _, audit = embed_two(store, manifest, FeatureCache(tmp_path))
    assert all(row["ms_per_image"] > 0 for row in audit["encoders"])
    assert len(list(tmp_path.rglob("*.backend.json"))) == 2
