"""Features of a store of images and of tokenized captions, from the cache or from the towers.

Blocks of rows go to worker processes, each with its own backend on its share of the cores
(workers × threads ≤ cores). A finished block is in the cache, so a killed run goes on from there.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from sports_clip_pipeline.corpora.store import ImageStore
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.machine import end_with_parent
from sports_clip_pipeline.models.backends import Backend, TowerProgram, build_backend
from sports_clip_pipeline.models.feature_cache import FeatureSpace
from sports_clip_pipeline.preprocessing.captions import pad
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing

_WORKER: dict[str, Any] = {}


@dataclass(frozen=True)
class Engine:
    """How blocks are computed.

    Attributes:
        program: the tower.
        backend: name of the chosen backend.
        workers: processes; 0 computes in this one.
        threads: threads of each.
        block: rows a block (one file of the cache).
        batch: rows a forward pass.
    """

    program: TowerProgram
    backend: str
    workers: int
    threads: int
    block: int = 256
    batch: int = 32


def embed_images(
    store: ImageStore,
    keys: list[bytes],
    preprocessing: ImagePreprocessing,
    space: FeatureSpace,
    engine: Engine,
    journal: Journal,
) -> tuple[dict[str, np.ndarray], float]:
    """Features and logits of every image of a store.

    Args:
        store: N images; row i has the content address `keys[i]`.
        space: the cache's space for this tower, view and resolution.
    Returns: `features` (N, D) float32 and `logits` (N, 1000) float16, and the images a second
        that were computed (0 where all came from the cache).
    """
    setup = (engine, preprocessing, Path(store.path))
    rate = _fill(space, keys, engine, _set_up_images, setup, _image_block, None, "images", journal)
    return space.gather(keys), rate


def embed_captions(
    token_ids: Sequence[np.ndarray], space: FeatureSpace, engine: Engine, journal: Journal
) -> tuple[dict[str, np.ndarray], float]:
    """Pooled text features of every caption, sorted by length while they are computed.

    Returns: `features` (M, E) float32, and the captions a second that were computed.
    """
    keys = [caption_key(ids) for ids in token_ids]
    rate = _fill(
        space, keys, engine, _set_up_text, (engine,), _text_block, token_ids, "captions", journal
    )
    return space.gather(keys), rate


def caption_key(token_ids: np.ndarray) -> bytes:
    """The 32-byte content address of a caption: its token ids."""
    return hashlib.sha256(token_ids.astype("<i4").tobytes()).digest()


def _fill(
    space: FeatureSpace,
    keys: list[bytes],
    engine: Engine,
    set_up: Callable[..., None],
    setup: tuple[Any, ...],
    compute: Callable[[Any], dict[str, np.ndarray]],
    items: Sequence[Any] | None,
    unit: str,
    journal: Journal,
) -> float:
    rows = space.missing(keys)
    if not rows:
        return 0.0
    if items is not None:
        rows.sort(key=lambda row: len(items[row]))
    blocks = [rows[i : i + engine.block] for i in range(0, len(rows), engine.block)]
    work = [block if items is None else [items[row] for row in block] for block in blocks]
    start = time.perf_counter()
    with (
        _pool(engine, set_up, setup) as mapped,
        journal.counting(f"embed {unit}", len(rows), unit) as bar,
    ):
        for block, arrays in zip(blocks, mapped(compute, work), strict=True):
            space.append([keys[row] for row in block], arrays)
            bar.update(len(block))
    return len(rows) / (time.perf_counter() - start)


@contextmanager
def _pool(
    engine: Engine, set_up: Callable[..., None], setup: tuple[Any, ...]
) -> Iterator[Callable[..., Any]]:
    if engine.workers == 0:
        set_up(*setup)
        try:
            yield map
        finally:
            _WORKER.clear()
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(engine.workers, context, set_up, setup) as executor:
        try:
            yield executor.map
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _set_up_images(engine: Engine, preprocessing: ImagePreprocessing, store_path: Path) -> None:
    end_with_parent()
    _WORKER["store"] = ImageStore(store_path)
    _WORKER["preprocessing"] = preprocessing
    _WORKER["batch"] = engine.batch
    _WORKER["backend"] = build_backend(engine.program, engine.backend, engine.threads)


def _set_up_text(engine: Engine) -> None:
    end_with_parent()
    _WORKER["batch"] = engine.batch
    _WORKER["backend"] = build_backend(engine.program, engine.backend, engine.threads)


def _image_block(rows: list[int]) -> dict[str, np.ndarray]:
    store, preprocessing = _WORKER["store"], _WORKER["preprocessing"]
    backend: Backend = _WORKER["backend"]
    features, logits = [], []
    for start in range(0, len(rows), _WORKER["batch"]):
        batch = rows[start : start + _WORKER["batch"]]
        pixels = preprocessing.normalise([preprocessing.crop(store.get(row)) for row in batch])
        feature, logit = backend(pixels)
        features.append(feature)
        logits.append(logit.astype(np.float16))
    return {"features": np.concatenate(features), "logits": np.concatenate(logits)}


def _text_block(token_ids: list[np.ndarray]) -> dict[str, np.ndarray]:
    backend: Backend = _WORKER["backend"]
    size = _WORKER["batch"]
    blocks = [token_ids[i : i + size] for i in range(0, len(token_ids), size)]
    return {"features": np.concatenate([backend(*pad(block))[0] for block in blocks])}
