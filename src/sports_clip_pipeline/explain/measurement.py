"""Measures saliency maps on many images, in worker processes, resumably.

For each image and network, each method explains the network's own prediction, and its map is
measured beside two baseline maps. A finished image stays in the journal.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from sports_clip_pipeline.explain import BASELINES, CORRELATION, METHODS, cam, faithfulness, targets
from sports_clip_pipeline.explain.cam import class_activation_maps
from sports_clip_pipeline.explain.faithfulness import (
    CascadingRandomisation,
    PreparedImage,
    centre_map,
    prepare_image,
    random_map,
    rank_correlation,
)
from sports_clip_pipeline.explain.networks import Network
from sports_clip_pipeline.explain.sampling import check_in_store
from sports_clip_pipeline.io.fingerprint import fingerprint
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.machine import cores, exit_with_parent, worker_context

COLUMNS = ("image", "label", "answer", "right", "target", "method", "measure", "value")
FITTED_ON = 16  # images that shuffled batch norms are fitted on
_WORKER: dict[str, Any] = {}
# How many are measured and by whom: no image's own numbers depend on these.
_NOT_FINGERPRINTED = (
    "images", "wrong_share", "workers", "resamples", "correlation_limit",
    "scorecam_images", "randomised_images",
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One image to measure.

    Attributes:
        image, label: its name and class. row: in the store. sha256: of what is stored there.
        scorecam, shuffled: whether ScoreCAM is drawn, and whether the randomisation check is made.
    """

    image: str
    label: str
    row: int
    sha256: str
    scorecam: bool
    shuffled: bool

    @property
    def key(self) -> str:
        """Its place in the journal."""
        return f"images/{self._digest.hex()[:24]}"

    @property
    def seed(self) -> int:
        """Its own, whatever else is drawn."""
        return int.from_bytes(self._digest[:3], "big")

    @property
    def _digest(self) -> bytes:
        return hashlib.sha256(self.image.encode()).digest()


@dataclass(frozen=True)
class Work:
    """What every process needs.

    Attributes:
        store: of the images; `get(row)`.
        build: makes the networks, in the process that uses them.
        identity: a fingerprint of the networks and of what they are asked.
        fitted_on: rows of the store that shuffled batch norms are fitted on.
        config: of measuring.
    """

    store: Any
    build: Callable[[], list[Network]]
    identity: str
    fitted_on: tuple[int, ...]
    config: Any


def plan_items(draw: pd.DataFrame, manifest: pd.DataFrame, config: Any) -> tuple[Item, ...]:
    """The images of a draw (`image`, `label`), with what is measured of each.

    Args: manifest: `image` and `stored_sha256` of every row of the store.
    Raises: UserFacingError: an image that is not in the store.
    """
    stored = dict(zip(manifest["image"], enumerate(manifest["stored_sha256"]), strict=True))
    check_in_store(draw["image"], stored, "cam_eval")
    rows = [
        (image, label, *stored[image])
        for image, label in zip(draw["image"], draw["label"], strict=True)
    ]
    return tuple(
        Item(
            image, label, row, digest,
            place < config.scorecam_images, place < config.randomised_images,
        )
        for place, (image, label, row, digest) in enumerate(rows)
    )  # fmt: skip


def measure_images(items: Sequence[Item], work: Work, journal: RunState) -> pd.DataFrame:
    """One row an image × network × method × measure.

    Returns: the columns of `COLUMNS`, in the order of the items: `answer` is the network's own,
        which is what is explained; `right` bool says whether it is the label.
    """
    found: dict[str, list[list[Any]]] = {}
    fingerprints = {item.key: _fingerprint(item, work) for item in items}
    with journal.progress_bar("cam_eval", len(items), "photo") as bar:
        waiting = []
        for item in items:
            stored = journal.load_state(item.key, fingerprints[item.key])
            if stored is None:
                waiting.append(item)
                continue
            found[item.key] = stored[1]["rows"]
            bar.update(1)
        for item, rows in _measure_all(waiting, work):
            journal.save_state(item.key, fingerprints[item.key], meta={"rows": rows})
            found[item.key] = rows
            bar.update(1)
    rows = [row for item in items for row in found[item.key]]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def measure_one(item: Item, photo: Any, network: Network, shuffled: Any, config: Any) -> list[Any]:
    """All rows of one image and one network."""
    pixels = network.pixels(photo)
    answer = int(network.probabilities(pixels[None])[0].argmax())
    predict, image = network.class_probability(answer), item.image
    names = [name for name in config.methods if name != "scorecam" or item.scorecam]
    maps = {name: _map(network, pixels, answer, image, name) for name in names}
    prepared = prepare_image(pixels, predict, config.seed + item.seed)
    measured = _measured(
        {**maps, **_baseline_maps(network, pixels, prepared)}, prepared, predict, config
    )
    checked = [name for name in names if name != "scorecam"]
    for level in shuffled.levels if item.shuffled else ():
        with shuffled.at(level):
            for name in checked:
                again = _map(network, pixels, answer, image, name)
                measured[name][CORRELATION + level] = rank_correlation(maps[name], again)
    predicted = network.classes[answer]
    return [
        [
            image,
            item.label,
            predicted,
            predicted == item.label,
            network.kind,
            method,
            measure,
            value,
        ]
        for method, values in measured.items()
        for measure, value in values.items()
    ]


def _map(network: Network, pixels: torch.Tensor, answer: int, image: str, name: str) -> np.ndarray:
    """(H, W); a method whose gradient is zero draws nothing, and is measured by that."""
    heat = class_activation_maps(
        network.module,
        network.layer,
        pixels[None].contiguous(memory_format=torch.channels_last),
        [answer],
        images=[image],
        method=name,
        strict=False,
    )[0]
    return np.asarray(heat)


def _baseline_maps(
    network: Network, pixels: torch.Tensor, image: PreparedImage
) -> dict[str, np.ndarray]:
    height, width = pixels.shape[-2:]
    noise = random_map(height, width, network.grid(pixels), image.seed)
    return dict(zip(BASELINES, (centre_map(height, width), noise), strict=True))


def _measured(
    maps: Mapping[str, np.ndarray], image: PreparedImage, predict: Any, config: Any
) -> dict[str, dict[str, float]]:
    """Measures by map; a map that equals an earlier one has its numbers."""
    measured: dict[str, dict[str, float]] = {}
    for name, heat in maps.items():
        twin = next((o for o in measured if np.allclose(maps[o], heat, atol=1e-4)), None)
        measured[name] = (
            dict(measured[twin])
            if twin is not None
            else faithfulness.faithfulness(
                image, heat, predict, config.road_shares, config.steps
            )
        )  # fmt: skip
    return measured


def _measure_all(items: Sequence[Item], work: Work) -> Iterator[tuple[Item, list[Any]]]:
    workers = min(work.config.workers or cores(), len(items))
    if workers <= 1:
        with _threads(cores()):
            _set_up(work)
            try:
                yield from ((item, _measure(item)) for item in items)
            finally:
                _WORKER.clear()
        return
    context = worker_context(["torch", __name__])
    setup = (work, max(1, cores() // workers))
    with ProcessPoolExecutor(workers, context, _set_up_process, setup) as executor:
        try:
            waiting = {executor.submit(_measure, item): item for item in items}
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _set_up_process(work: Work, threads: int) -> None:
    exit_with_parent()
    torch.set_num_threads(threads)
    _set_up(work)


def _set_up(work: Work) -> None:
    networks = work.build()
    config = work.config
    shuffled = []
    for network in networks:
        photos = [network.pixels(work.store.get(row)) for row in work.fitted_on]
        parts = (network.module, network.head, network.stages, config.stages)
        shuffled.append(CascadingRandomisation(*parts, torch.stack(photos), config.seed))
    _WORKER.update(work=work, networks=networks, shuffled=shuffled)


def _measure(item: Item) -> list[Any]:
    work: Work = _WORKER["work"]
    photo = work.store.get(item.row)
    pairs = zip(_WORKER["networks"], _WORKER["shuffled"], strict=True)
    return [
        row
        for network, shuffled in pairs
        for row in measure_one(item, photo, network, shuffled, work.config)
    ]


def _fingerprint(item: Item, work: Work) -> str:
    """Fingerprint of all that an image's measures depend on."""
    settings = {
        key: value for key, value in vars(work.config).items() if key not in _NOT_FINGERPRINTED
    }
    code = (
        cam, faithfulness, targets,
        sys.modules[__name__],
    )  # fmt: skip
    return fingerprint(
        work.identity, settings, vars(item), list(work.fitted_on), dict(METHODS), *code
    )
