from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.encoders import embedder as embedder_module
from sports_clip_pipeline.encoders.embedder import Embedder, audit_encoders, embed_with_additional
from sports_clip_pipeline.encoders.embedding import Engine
from sports_clip_pipeline.encoders.feature_store import FeatureCache
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig

VIEWS = ("full", "centre")
CONFIG = EmbedConfig(image_encoder="lite0", image_size=64, backend="torch", views=VIEWS)


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in this process: starting a worker takes seconds."""

    def here(*arguments: Any, **named: Any) -> Engine:
        return replace(Engine(*arguments, **named), workers=0)

    monkeypatch.setattr(embedder_module, "Engine", here)


@pytest.fixture
def manifest(store: ImageStore) -> pd.DataFrame:
    digests = [hashlib.sha256(store.get_bytes(i)).hexdigest() for i in range(len(store))]
    return pd.DataFrame({"stored_sha256": digests})


def made(
    store: ImageStore, manifest: pd.DataFrame, cache: FeatureCache
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    first = Embedder(CONFIG, cache, RunState())
    arrays, others = embed_with_additional(first, ("lite1",), "sports", store, manifest, RunState())
    return arrays, audit_encoders(first, others, store)


def test_a_companion_gives_what_it_gives_as_the_first_tower(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    arrays, _ = made(store, manifest, FeatureCache(tmp_path / "a"))
    alone = Embedder(
        CONFIG.model_copy(update={"image_encoder": "lite1"}),
        FeatureCache(tmp_path / "b"),
        RunState(),
    )
    wanted = alone.images("sports", store, manifest)["features"]
    assert list(arrays) == ["features", "logits", "row", "companion.lite1"]
    np.testing.assert_array_equal(arrays["companion.lite1"], wanted)
    assert arrays["companion.lite1"].dtype == np.float32


def test_the_audit_has_a_row_a_tower_with_its_price(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    _, audit = made(store, manifest, FeatureCache(tmp_path))
    assert json.dumps(audit)
    assert audit["additional_encoders"] == ["lite1"]
    assert [row["name"] for row in audit["towers"]] == ["lite0", "lite1"]
    assert [row["width"] for row in audit["towers"]] == [1280, 1280]
    assert all(row["views"] == list(VIEWS) for row in audit["towers"])
    assert audit["towers"][0]["preprocessing"] == audit["preprocessing"]
    trials = audit["backends"]["companion.lite1"]["trials"]
    wanted = len(VIEWS) * trials[0]["core_ms_per_item"]
    assert audit["towers"][1]["ms_per_image"] == pytest.approx(wanted, abs=0.01)
    assert set(audit["backends"]) == {"image", "companion.lite1"}
    assert set(audit["computed_per_s"]) == {
        f"sports{tower} {view}" for tower in ("", " lite1") for view in VIEWS
    }


def test_features_from_the_cache_keep_their_price(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    cache = FeatureCache(tmp_path)
    arrays, audit = made(store, manifest, cache)
    again, second = made(store, manifest, cache)
    np.testing.assert_array_equal(again["companion.lite1"], arrays["companion.lite1"])
    assert second["towers"] == audit["towers"]
    assert second["backends"] == {}
    assert set(second["computed_per_s"].values()) == {0.0}


def test_a_price_that_was_lost_is_measured_though_all_features_are_there(
    store: ImageStore, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    made(store, manifest, FeatureCache(tmp_path))
    for record in tmp_path.rglob("*.backend.json"):
        record.unlink()
    _, audit = made(store, manifest, FeatureCache(tmp_path))
    assert all(row["ms_per_image"] > 0 for row in audit["towers"])
    assert len(list(tmp_path.rglob("*.backend.json"))) == 2
