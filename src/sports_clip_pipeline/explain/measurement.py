"""Measurement of saliency maps on many images, in worker processes, resumable.

For each image and network, each method explains the network's own prediction, and its map is
measured beside two baseline maps. Finished images are stored in the run state.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from sports_clip_pipeline.explain import (
    BASELINES,
    CORRELATION,
    METHODS,
    cam,
    faithfulness,
)
from sports_clip_pipeline.explain.networks import Network
from sports_clip_pipeline.explain.sampling import check_in_store
from sports_clip_pipeline.io.fingerprint import fingerprint
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.machine import cores, exit_with_parent, worker_context, worker_processes

COLUMNS = ("image", "label", "answer", "right", "target", "method", "measure", "value")
FITTED_ON = 16  # images that shuffled batch norms are fitted on
_WORKER: dict[str, Any] = {}
# Number of images, workers and resamples: an image's own measures do not depend on these.
_NOT_FINGERPRINTED = {
    "images", "wrong_share", "workers", "resamples", "correlation_limit",
    "scorecam_images", "randomised_images",
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One image to measure: name, class, row in the store and sha256 of the stored bytes.

    `scorecam` and `shuffled` tell whether ScoreCAM and the randomisation check are measured.
    """

    image: str
    label: str
    row: int
    sha256: str
    scorecam: bool
    shuffled: bool

    @property
    def digest(self) -> str:
        """Hexadecimal sha256 of the name, for the key of its state and its own seed."""
        return hashlib.sha256(self.image.encode()).hexdigest()


@dataclass(frozen=True)
class Work:
    """Inputs of every worker process: image store, networks and `CamEvalConfig`.

    Attributes:
        identity: fingerprint of the networks and their prompts.
        fitted_on: rows of the store that shuffled batch norms are fitted on.
    """

    store: Any
    build: Callable[[], list[Network]]
    identity: str
    fitted_on: tuple[int, ...]
    config: Any


def plan_items(draw: pd.DataFrame, manifest: pd.DataFrame, config: Any) -> tuple[Item, ...]:
    """Items of sampled images (`image`, `label`).

    Args: manifest: `image` and `stored_sha256` of every row of the store.
    Raises: UserFacingError: an image that is not in the store.
    """
    stored = dict(zip(manifest["image"], enumerate(manifest["stored_sha256"]), strict=True))
    check_in_store(draw["image"], stored, "cam_eval")
    scorecam, randomised = config.scorecam_images, config.randomised_images
    return tuple(
        Item(image, label, stored[image][0], stored[image][1], n < scorecam, n < randomised)
        for n, (image, label) in enumerate(zip(draw["image"], draw["label"], strict=True))
    )


def measure_images(items: Sequence[Item], work: Work, run_state: RunState) -> pd.DataFrame:
    """Measure items, reusing finished ones: one row an image × network × method × measure.

    Returns: the columns of `COLUMNS`, in the order of the items: `answer` is the network's
        prediction, which is explained; `right` bool, whether it is the label.
    """
    found: dict[Item, list[list[Any]]] = {}
    keys = {item: (f"images/{item.digest[:24]}", _fingerprint(item, work)) for item in items}
    with run_state.progress_bar("cam_eval", len(items), "image") as bar:
        for item in items:
            stored = run_state.load_state(*keys[item])
            if stored is not None:
                found[item] = stored[1]["rows"]
                bar.update(1)
        for item, rows in _measure_all([item for item in items if item not in found], work):
            run_state.save_state(*keys[item], meta={"rows": rows})
            found[item] = rows
            bar.update(1)
    return pd.DataFrame([row for item in items for row in found[item]], columns=list(COLUMNS))


def measure_one(item: Item, image: Any, network: Network, shuffled: Any, config: Any) -> list[Any]:
    """All rows of one image and one network."""
    pixels = network.pixels(image)
    answer = int(network.probabilities(pixels[None])[0].argmax())
    batch = pixels[None].contiguous(memory_format=torch.channels_last)

    def predict(images: torch.Tensor) -> np.ndarray:
        return network.probabilities(images)[:, answer]

    def saliency(method: str) -> np.ndarray:
        parts = network.module, network.layer, batch, answer
        return cam.class_activation_map(*parts, image=item.image, method=method, strict=False)

    methods = [name for name in config.methods if name != "scorecam" or item.scorecam]
    maps = {name: saliency(name) for name in methods}
    seed = config.seed + int(item.digest[:6], 16)
    road_shares, steps = config.road_shares, config.steps
    metrics = faithfulness.FaithfulnessMetrics(pixels, predict, road_shares, steps, seed)
    height, width = pixels.shape[-2:]
    centre = faithfulness.centre_map(height, width)
    noise = faithfulness.random_map(height, width, network.grid(pixels), seed)
    compared = {**maps, **dict(zip(BASELINES, (centre, noise), strict=True))}
    measured: dict[str, dict[str, float]] = {}
    for name, heat in compared.items():
        equal = next((n for n in measured if np.allclose(compared[n], heat, atol=1e-4)), None)
        if equal is not None:  # such as HiResCAM and Grad-CAM under a linear head
            measured[name] = dict(measured[equal])
        else:
            measured[name] = metrics.measure(heat)
    for level in shuffled.levels if item.shuffled else ():
        with shuffled.at(level):
            for name in methods:
                if name != "scorecam":
                    correlation = faithfulness.rank_correlation(maps[name], saliency(name))
                    measured[name][CORRELATION + level] = correlation
    predicted = network.names[answer]
    prefix = [item.image, item.label, predicted, predicted == item.label, network.kind]
    return [
        [*prefix, method, measure, value]
        for method, values in measured.items()
        for measure, value in values.items()
    ]


def _measure_all(items: Sequence[Item], work: Work) -> Iterator[tuple[Item, list[Any]]]:
    workers = min(work.config.workers or cores(), len(items))
    if workers <= 1:
        threads = torch.get_num_threads()
        _set_up(work, cores())
        try:
            yield from ((item, _measure(item)) for item in items)
        finally:
            _WORKER.clear()
            torch.set_num_threads(threads)
        return
    context = worker_context(["torch", __name__])
    setup = work, max(1, cores() // workers)
    with worker_processes(workers, _set_up, *setup, context=context) as executor:
        waiting = {executor.submit(_measure, item): item for item in items}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


def _set_up(work: Work, threads: int) -> None:
    exit_with_parent()
    torch.set_num_threads(threads)
    built = []
    for network in work.build():
        images = torch.stack([network.pixels(work.store.get(row)) for row in work.fitted_on])
        parts = network.module, network.head, network.stages
        shuffled = faithfulness.CascadingRandomisation(
            *parts, work.config.stages, images, work.config.seed
        )
        built.append((network, shuffled))
    _WORKER.update(work=work, networks=built)


def _measure(item: Item) -> list[Any]:
    work: Work = _WORKER["work"]
    image = work.store.get(item.row)
    return [
        row
        for network, shuffled in _WORKER["networks"]
        for row in measure_one(item, image, network, shuffled, work.config)
    ]


def _fingerprint(item: Item, work: Work) -> str:
    """Fingerprint of all inputs of an image's measures."""
    settings = work.config.model_dump(exclude=_NOT_FINGERPRINTED)
    inputs = work.identity, settings, item, work.fitted_on, METHODS
    return fingerprint(*inputs, sys.modules[__name__])
