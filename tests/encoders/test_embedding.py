import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.encoders import embedding, image_encoders
from sports_clip_pipeline.encoders.backends import EncoderProgram
from sports_clip_pipeline.encoders.embedding import (
    EncodingTask,
    Engine,
    caption_key,
    embed_captions,
    embed_images,
)
from sports_clip_pipeline.encoders.features import FeatureCache
from sports_clip_pipeline.io.state import RunState

VIEW = image_encoders.image_preprocessing("lite0", 64, "full")
PROGRAM = EncoderProgram("image", "lite0", Path("unused.onnx"), 64)


def keys_of(store: ImageStore) -> list[bytes]:
    return [hashlib.sha256(store.get_bytes(i)).digest() for i in range(len(store))]


def engine() -> Engine:
    return Engine(PROGRAM, "torch", workers=1, threads=1, block=4, batch=3)


def test_features_agree_with_the_encoder_in_the_order_of_the_store(
    store: ImageStore, tmp_path: Path
) -> None:
    task = EncodingTask(engine(), VIEW, FeatureCache(tmp_path).space({}))
    rate = embed_images(store, keys_of(store), [task], RunState())
    arrays = task.space.gather(keys_of(store))
    encoder = image_encoders.PooledImageEncoder(image_encoders.load_image_encoder("lite0"))
    pixels = torch.from_numpy(np.stack([VIEW.to_array(store.get(i)) for i in range(len(store))]))
    with torch.inference_mode():
        features, logits = encoder(pixels)
    np.testing.assert_allclose(arrays["features"], features.numpy(), atol=1e-4)
    np.testing.assert_allclose(arrays["logits"], logits.numpy(), atol=2e-2)
    assert (arrays["features"].dtype, arrays["logits"].dtype) == (np.float32, np.float16)
    assert rate > 0
    assert not embedding._WORKER


def test_several_tasks_in_one_pass_agree_with_each_alone(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, cache = keys_of(store), FeatureCache(tmp_path)
    flipped = image_encoders.image_preprocessing("lite0", 64, "full_flip")
    other = EncoderProgram("image", "lite1", Path("unused.onnx"), 64)
    views = [(PROGRAM, VIEW), (PROGRAM, flipped), (other, VIEW)]

    def encoding_tasks(name: str) -> list[EncodingTask]:
        engines = [replace(engine(), program=program) for program, _ in views]
        spaces = [cache.space({"of": name, "number": number}) for number in range(3)]
        return [EncodingTask(e, v, s) for e, (_, v), s in zip(engines, views, spaces, strict=True)]

    alone, together = encoding_tasks("alone"), encoding_tasks("together")
    for task in alone:
        embed_images(store, keys, [task], RunState())
    # Cached rows are not computed again.
    changed_row = {name: value + 1 for name, value in alone[1].space.gather([keys[2]]).items()}
    together[1].space.append([keys[2]], changed_row)
    opened = []
    real = ImageStore.get
    monkeypatch.setattr(ImageStore, "get", lambda self, i: (opened.append(i), real(self, i))[1])
    embed_images(store, keys, together, RunState())
    assert opened == list(range(len(store)))
    changed = np.array([0, 0, 1, 0, 0, 0])[:, None]
    for offset, one, many in zip((0, changed, 0), alone, together, strict=True):
        expected, found = one.space.gather(keys), many.space.gather(keys)
        for name, atol in (("features", 1e-5), ("logits", 2e-2)):
            np.testing.assert_allclose(found[name], expected[name] + offset, atol=atol)
    first, _, third = (task.space.gather(keys)["features"] for task in together)
    assert not np.allclose(first, third, atol=1e-2)


def test_a_killed_run_resumes_from_its_last_block(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[list[int]] = []

    def block(rows: list[tuple[int, list[bool]]]) -> list[dict[str, np.ndarray]]:
        if len(computed) == 1:
            computed.append([])
            raise KeyboardInterrupt
        computed.append([row for row, _ in rows])
        return [{"features": np.asarray(computed[-1], np.float32)[:, None]}]

    monkeypatch.setattr(embedding, "_image_block", block)
    monkeypatch.setattr(embedding, "_set_up_images", lambda *setup: None)
    keys, cache = keys_of(store), FeatureCache(tmp_path)

    def run() -> float:
        return embed_images(
            store, keys, [EncodingTask(engine(), VIEW, cache.space({}))], RunState()
        )

    with pytest.raises(KeyboardInterrupt):
        run()
    run()
    assert computed == [[0, 1, 2, 3], [], [4, 5]]
    assert cache.space({}).gather(keys)["features"].ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert run() == 0.0


def test_captions_are_computed_by_length_and_returned_in_order(
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
    embed_captions(ids, space, engine(), RunState())
    arrays = space.gather([caption_key(row) for row in ids])
    assert lengths == [2, 3, 4, 5]  # the second of two equal captions is not computed
    assert arrays["features"].ravel().tolist() == [10, 1, 6, 1, 3]


def test_a_caption_key_depends_on_the_token_ids_only() -> None:
    ids = np.array([101, 7, 102])
    assert caption_key(ids) == caption_key(ids.astype(np.int32))
    assert caption_key(ids) != caption_key(ids[::-1])
    assert len(caption_key(ids)) == 32
