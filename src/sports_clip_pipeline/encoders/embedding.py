"""Features of a store of images and of tokenized captions, from the cache or from the encoders.

Blocks of rows go to worker processes, each with its own backend on its share of the cores
(workers × threads ≤ cores). A finished block is in the cache, so a killed run goes on from there.
Processes that a launcher started share the blocks; the cache is on a disk of all of them.
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

from sports_clip_pipeline.data.captions import pad
from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders.backends import Backend, EncoderProgram, build_backend
from sports_clip_pipeline.encoders.feature_store import FeatureSpace
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.machine import barrier, exit_with_parent, own_shard

_WORKER: dict[str, Any] = {}


@dataclass(frozen=True)
class Engine:
    """How blocks are computed.

    Attributes:
        program: the encoder.
        backend: name of the chosen backend.
        workers: processes; 0 computes in this one.
        threads: threads of each.
        block: rows a block (one file of the cache).
        batch: rows a forward pass.
    """

    program: EncoderProgram
    backend: str
    workers: int
    threads: int
    block: int = 256
    batch: int = 32


@dataclass(frozen=True)
class EncodingTask:
    """One encoder on one view of the images.

    Attributes:
        engine: how the encoder runs.
        preprocessing: the view.
        space: where the cache keeps what comes of it.
    """

    engine: Engine
    preprocessing: ImageTransform
    space: FeatureSpace


def embed_images(
    store: ImageStore,
    keys: list[bytes],
    encoding_tasks: Sequence[EncodingTask],
    journal: RunState,
    together: bool = False,
) -> float:
    """Put what the cache lacks of each task there; an image is decoded once for all of them.

    Every space then holds `features` (N, D) float32 and `logits` (N, 1000) float16.

    Args:
        store: N images; row i has the content address `keys[i]`.
        encoding_tasks: the workers are those of the first one's engine.
        together: all processes that a launcher started have come here, and share the work.
    Returns: the images a second that were seen (0 where all came from the cache).
    """
    missing = [set(task.space.missing(keys)) for task in encoding_tasks]
    rows = sorted(set().union(*missing))
    if not rows:
        return 0.0
    engine = encoding_tasks[0].engine
    blocks = _own_blocks(rows, engine, together)
    work = [[(row, [row in lacking for lacking in missing]) for row in block] for block in blocks]
    views = [(task.engine, task.preprocessing) for task in encoding_tasks]
    start = time.perf_counter()
    with (
        _pool(engine, _set_up_images, (engine, views, Path(store.path))) as mapped,
        journal.progress_bar("embed images", sum(map(len, blocks)), "image") as bar,
    ):
        for block, seen in zip(blocks, mapped(_image_block, work), strict=True):
            for task, lacking, arrays in zip(encoding_tasks, missing, seen, strict=True):
                new = [keys[row] for row in block if row in lacking]
                if new:
                    task.space.append(new, arrays)
            bar.update(len(block))
    if together:
        barrier()
        for task in encoding_tasks:
            _await(task.space, keys)
    return len(rows) / (time.perf_counter() - start)


def embed_captions(
    token_ids: Sequence[np.ndarray],
    space: FeatureSpace,
    engine: Engine,
    journal: RunState,
    together: bool = False,
) -> float:
    """Put the pooled text features that the cache lacks there, computed by length.

    The space then holds `features` (M, E) float32.

    Args:
        together: see `embed_images`.
    Returns: the captions a second that were computed (0 where all came from the cache).
    """
    keys = [caption_key(ids) for ids in token_ids]
    rows = sorted(space.missing(keys), key=lambda row: len(token_ids[row]))
    if not rows:
        return 0.0
    blocks = _own_blocks(rows, engine, together)
    work = [[token_ids[row] for row in block] for block in blocks]
    start = time.perf_counter()
    with (
        _pool(engine, _set_up_text, (engine,)) as mapped,
        journal.progress_bar("embed captions", sum(map(len, blocks)), "caption") as bar,
    ):
        for block, arrays in zip(blocks, mapped(_text_block, work), strict=True):
            space.append([keys[row] for row in block], arrays)
            bar.update(len(block))
    if together:
        barrier()
        _await(space, keys)
    return len(rows) / (time.perf_counter() - start)


def _own_blocks(rows: list[int], engine: Engine, together: bool) -> Sequence[list[int]]:
    """The rows in blocks; of processes that work together, those of this one."""
    blocks = [rows[i : i + engine.block] for i in range(0, len(rows), engine.block)]
    if not together:
        return blocks
    barrier()  # nobody puts anything into the cache before all know what is missing
    return own_shard(blocks)


def _await(space: FeatureSpace, keys: list[bytes]) -> None:
    """Read what the other processes put there; a disk of several machines may show it late.

    Raises: UserFacingError: it does not show within a minute.
    """
    for _ in range(60):
        space.reread()
        if not space.missing(keys):
            return
        time.sleep(1.0)
    raise UserFacingError(
        space.folder,
        f"lacks {len(space.missing(keys))} rows that other processes have written",
        "put the project on a disk that all machines share, and run it again",
    )


def caption_key(token_ids: np.ndarray) -> bytes:
    """The 32-byte content address of a caption: its token ids."""
    return hashlib.sha256(token_ids.astype("<i4").tobytes()).digest()


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


def _set_up_images(
    engine: Engine, views: Sequence[tuple[Engine, ImageTransform]], store_path: Path
) -> None:
    exit_with_parent()
    backends: dict[tuple[EncoderProgram, str], Backend] = {}
    for view_engine, _ in views:
        key = view_engine.program, view_engine.backend
        if key not in backends:
            backends[key] = build_backend(*key, view_engine.threads)
    _WORKER["store"] = ImageStore(store_path)
    _WORKER["views"] = [
        (backends[view_engine.program, view_engine.backend], view) for view_engine, view in views
    ]
    _WORKER["batch"] = engine.batch


def _set_up_text(engine: Engine) -> None:
    exit_with_parent()
    _WORKER["batch"] = engine.batch
    _WORKER["backend"] = build_backend(engine.program, engine.backend, engine.threads)


def _image_block(rows: list[tuple[int, list[bool]]]) -> list[dict[str, np.ndarray]]:
    """The features of each view for the rows that lack it; empty where none does."""
    size = _WORKER["batch"]
    parts = [_image_batch(rows[i : i + size]) for i in range(0, len(rows), size)]
    return [
        {name: np.concatenate([part[name] for part in seen if part]) for name in _names(seen)}
        for seen in zip(*parts, strict=True)
    ]


def _image_batch(rows: list[tuple[int, list[bool]]]) -> list[dict[str, np.ndarray]]:
    images = [_WORKER["store"].get(row) for row, _ in rows]
    crops: dict[tuple[Any, ...], Any] = {}
    seen: list[dict[str, np.ndarray]] = []
    for number, (backend, view) in enumerate(_WORKER["views"]):
        wanting = tuple(i for i, (_, wants) in enumerate(rows) if wants[number])
        if not wanting:
            seen.append({})
            continue
        key = view, wanting
        if key not in crops:
            crops[key] = view.normalise([view.crop(images[i]) for i in wanting])
        features, logits = backend(crops[key])
        seen.append({"features": features, "logits": logits.astype(np.float16)})
    return seen


def _names(parts: Sequence[dict[str, np.ndarray]]) -> list[str]:
    return next((list(part) for part in parts if part), [])


def _text_block(token_ids: list[np.ndarray]) -> dict[str, np.ndarray]:
    backend: Backend = _WORKER["backend"]
    size = _WORKER["batch"]
    blocks = [token_ids[i : i + size] for i in range(0, len(token_ids), size)]
    return {"features": np.concatenate([backend(*pad(block))[0] for block in blocks])}
