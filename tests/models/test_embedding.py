from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from sports_clip_pipeline.corpora.store import ImageStore
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.models import embedding, towers
from sports_clip_pipeline.models.backends import TowerProgram
from sports_clip_pipeline.models.embedding import (
    Engine,
    caption_key,
    embed_captions,
    embed_images,
)
from sports_clip_pipeline.models.feature_cache import FeatureCache

VIEW = towers.image_preprocessing("lite0", 64, "full")
PROGRAM = TowerProgram("image", "lite0", Path("unused.onnx"), 64)


def keys_of(store: ImageStore) -> list[bytes]:
    return [hashlib.sha256(store.get_bytes(i)).digest() for i in range(len(store))]


def engine(**changes: int) -> Engine:
    return Engine(
        PROGRAM, "torch", **{"workers": 0, "threads": 1, "block": 4, "batch": 3, **changes}
    )


def test_features_are_the_towers_in_the_order_of_the_store(
    store: ImageStore, tmp_path: Path
) -> None:
    space = FeatureCache(tmp_path).space({})
    arrays, rate = embed_images(store, keys_of(store), VIEW, space, engine(), Journal())
    tower = towers.PooledImageTower(towers.load_image_tower("lite0"))
    pixels = torch.from_numpy(np.stack([VIEW.to_array(store.get(i)) for i in range(len(store))]))
    with torch.inference_mode():
        features, logits = tower(pixels)
    np.testing.assert_allclose(arrays["features"], features.numpy(), atol=1e-4)
    np.testing.assert_allclose(arrays["logits"], logits.numpy(), atol=2e-2)
    assert rate > 0
    assert not embedding._WORKER


def test_a_killed_run_goes_on_from_its_last_block(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[list[int]] = []

    def block(rows: list[int]) -> dict[str, np.ndarray]:
        if len(computed) == 1:
            computed.append([])
            raise KeyboardInterrupt
        computed.append(rows)
        return {"features": np.asarray(rows, np.float32)[:, None]}

    monkeypatch.setattr(embedding, "_image_block", block)
    monkeypatch.setattr(embedding, "_set_up_images", lambda *setup: None)
    keys, cache = keys_of(store), FeatureCache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        embed_images(store, keys, VIEW, cache.space({}), engine(), Journal())
    arrays, _ = embed_images(store, keys, VIEW, cache.space({}), engine(), Journal())
    assert computed == [[0, 1, 2, 3], [], [4, 5]]
    assert arrays["features"].ravel().tolist() == [0, 1, 2, 3, 4, 5]
    _, rate = embed_images(store, keys, VIEW, cache.space({}), engine(), Journal())
    assert rate == 0.0


def test_captions_are_computed_by_length_and_given_back_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []

    def block(ids: list[np.ndarray]) -> dict[str, np.ndarray]:
        lengths.extend(len(row) for row in ids)
        return {"features": np.array([[row.sum()] for row in ids], np.float32)}

    monkeypatch.setattr(embedding, "_text_block", block)
    monkeypatch.setattr(embedding, "_set_up_text", lambda *setup: None)
    ids = [np.arange(n, dtype=np.int32) for n in (5, 2, 4, 2, 3)]
    space = FeatureCache(tmp_path).space({})
    arrays, _ = embed_captions(ids, space, engine(), Journal())
    assert lengths == [2, 3, 4, 5]  # the second of two equal captions is not computed
    assert arrays["features"].ravel().tolist() == [10, 1, 6, 1, 3]


def test_a_captions_key_is_its_token_ids_whatever_their_integer_type() -> None:
    ids = np.array([101, 7, 102])
    assert caption_key(ids) == caption_key(ids.astype(np.int32))
    assert caption_key(ids) != caption_key(ids[::-1])
    assert len(caption_key(ids)) == 32
