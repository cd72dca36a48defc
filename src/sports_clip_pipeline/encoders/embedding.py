"""Embeds stored images and tokenized captions into the feature cache.

Blocks of rows go to worker processes, each with its own backend on its share of the cores
(workers × threads ≤ cores). Finished blocks are in the cache, so a killed run resumes there.
Under torchrun the processes share the blocks through a cache on a shared disk.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sports_clip_pipeline.data.captions import pad
from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders.backends import Backend, EncoderProgram, build_backend
from sports_clip_pipeline.encoders.features import FeatureSpace
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.machine import barrier, exit_with_parent, own_shard, worker_processes

_WORKER: dict[str, Any] = {}
# A row of the store, and for each task whether the cache lacks it.
_MissingRow = tuple[int, list[bool]]


@dataclass(frozen=True)
class Engine:
    """How an encoder runs.

    Attributes:
        workers: processes; one is this process itself. threads: of each process.
        block: rows a block (one file of the cache). batch: rows a forward pass.
    """

    program: EncoderProgram
    backend: str
    workers: int
    threads: int
    block: int = 256
    batch: int = 32


@dataclass(frozen=True)
class EncodingTask:
    """One encoder on one view of the images, and its space in the cache."""

    engine: Engine
    preprocessing: ImageTransform
    space: FeatureSpace


def embed_images(
    store: ImageStore,
    keys: list[bytes],
    tasks: Sequence[EncodingTask],
    state: RunState,
    together: bool = False,
) -> float:
    """Compute missing image features; an image is decoded once for all tasks.

    Every space then holds `features` (N, D) float32 and `logits` (N, 1000) float16.

    Args:
        store: N images; row i has the content address `keys[i]`.
        tasks: the number of workers is that of the first one's engine.
        together: all processes of torchrun call this, and share the work.
    Returns: images a second; 0 if all were in the cache.
    """
    missing = [set(task.space.missing(keys)) for task in tasks]
    rows = sorted(set().union(*missing))
    if not rows:
        return 0.0
    engine = tasks[0].engine
    blocks = _own_blocks(rows, engine, together)
    work = [[(row, [row in lacking for lacking in missing]) for row in block] for block in blocks]
    views = [(task.engine, task.preprocessing) for task in tasks]
    start = time.perf_counter()
    with (
        _pool(engine, _set_up_images, (views, Path(store.path))) as map_blocks,
        state.progress_bar("embed images", sum(map(len, blocks)), "image") as bar,
    ):
        for block, computed in zip(blocks, map_blocks(_image_block, work), strict=True):
            for task, lacking, arrays in zip(tasks, missing, computed, strict=True):
                new = [keys[row] for row in block if row in lacking]
                if new:
                    task.space.append(new, arrays)
            bar.update(len(block))
    if together:
        _await([task.space for task in tasks], keys)
    return len(rows) / (time.perf_counter() - start)


def embed_captions(
    token_ids: Sequence[np.ndarray],
    space: FeatureSpace,
    engine: Engine,
    state: RunState,
    together: bool = False,
) -> float:
    """Compute missing pooled text features, sorted by length; returns captions a second.

    The space then holds `features` (M, E) float32. `together` is that of `embed_images`.
    """
    keys = [caption_key(ids) for ids in token_ids]
    rows = sorted(space.missing(keys), key=lambda row: len(token_ids[row]))
    if not rows:
        return 0.0
    blocks = _own_blocks(rows, engine, together)
    work = [[token_ids[row] for row in block] for block in blocks]
    start = time.perf_counter()
    with (
        _pool(engine, _set_up_text, (engine,)) as map_blocks,
        state.progress_bar("embed captions", sum(map(len, blocks)), "caption") as bar,
    ):
        for block, arrays in zip(blocks, map_blocks(_text_block, work), strict=True):
            space.append([keys[row] for row in block], arrays)
            bar.update(len(block))
    if together:
        _await([space], keys)
    return len(rows) / (time.perf_counter() - start)


def _own_blocks(rows: list[int], engine: Engine, together: bool) -> Sequence[list[int]]:
    """The rows in blocks; under torchrun those of this process."""
    blocks = [rows[i : i + engine.block] for i in range(0, len(rows), engine.block)]
    if not together:
        return blocks
    barrier()  # all processes know what is missing before any of them writes
    return own_shard(blocks)


def _await(spaces: Sequence[FeatureSpace], keys: list[bytes]) -> None:
    """Wait for and index the blocks of the other processes; a network disk may show them late.

    Raises: UserFacingError: some are still missing after a minute.
    """
    barrier()
    for space in spaces:
        for _ in range(60):
            space.reread()
            if not space.missing(keys):
                break
            time.sleep(1.0)
        else:
            raise UserFacingError(
                space.folder,
                f"lacks {len(space.missing(keys))} rows that other processes have written",
                "put the project on a disk that all machines share, and run it again",
            )


def caption_key(token_ids: np.ndarray) -> bytes:
    """The 32-byte content address of a caption: sha256 of its token ids."""
    return hashlib.sha256(token_ids.astype("<i4").tobytes()).digest()


@contextmanager
def _pool(
    engine: Engine, set_up: Callable[..., None], setup: tuple[Any, ...]
) -> Iterator[Callable[..., Any]]:
    if engine.workers <= 1:
        set_up(*setup)
        try:
            yield map
        finally:
            _WORKER.clear()
        return
    with worker_processes(engine.workers, set_up, *setup) as executor:
        yield executor.map


def _set_up_images(views: Sequence[tuple[Engine, ImageTransform]], store_path: Path) -> None:
    exit_with_parent()
    backends = {
        engine: build_backend(engine.program, engine.backend, engine.threads)
        for engine in dict.fromkeys(engine for engine, _ in views)
    }
    _WORKER["store"] = ImageStore(store_path)
    _WORKER["views"] = [(backends[engine], view) for engine, view in views]
    _WORKER["batch"] = views[0][0].batch


def _set_up_text(engine: Engine) -> None:
    exit_with_parent()
    _WORKER["batch"] = engine.batch
    _WORKER["backend"] = build_backend(engine.program, engine.backend, engine.threads)


def _image_block(rows: list[_MissingRow]) -> list[dict[str, np.ndarray]]:
    """Features of each task for the rows that its space lacks; empty where it lacks none."""
    size, views = _WORKER["batch"], _WORKER["views"]
    batches: list[list[dict[str, np.ndarray]]] = [[] for _ in views]
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        images = [_WORKER["store"].get(row) for row, _ in batch]
        pixels: dict[tuple[Any, ...], np.ndarray] = {}
        for number, (backend, view) in enumerate(views):
            lacking = tuple(i for i, (_, lacks) in enumerate(batch) if lacks[number])
            if not lacking:
                continue
            if (view, lacking) not in pixels:
                pixels[view, lacking] = view.normalise([view.crop(images[i]) for i in lacking])
            features, logits = backend(pixels[view, lacking])
            batches[number].append({"features": features, "logits": logits.astype(np.float16)})
    return [
        {name: np.concatenate([arrays[name] for arrays in own]) for name in own[0]} if own else {}
        for own in batches
    ]


def _text_block(token_ids: list[np.ndarray]) -> dict[str, np.ndarray]:
    backend: Backend = _WORKER["backend"]
    size = _WORKER["batch"]
    blocks = [token_ids[i : i + size] for i in range(0, len(token_ids), size)]
    return {"features": np.concatenate([backend(*pad(block))[0] for block in blocks])}
