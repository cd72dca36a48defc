"""How far maps can be trusted, measured on many photographs, by several processes.

A photograph is one piece of work: each network answers it, each method explains that answer, and
the maps are measured beside two that know nothing. A finished photograph stays in the journal.
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

from sports_clip_pipeline.explain import (
    activation_maps,
    faithfulness,
    imputation,
    library_maps,
    randomised,
    ranking,
    scores,
)
from sports_clip_pipeline.explain.activation_maps import class_activation_maps
from sports_clip_pipeline.explain.choice import refuse_lost
from sports_clip_pipeline.explain.faithfulness import Photograph, see
from sports_clip_pipeline.explain.names import CORRELATION, FLOORS, METHODS
from sports_clip_pipeline.explain.networks import Network
from sports_clip_pipeline.explain.randomised import Randomised
from sports_clip_pipeline.explain.ranking import (
    centre_map,
    random_map,
    rank_correlation,
)
from sports_clip_pipeline.journal import Journal, fingerprint
from sports_clip_pipeline.machine import cores, end_with_parent, sharing_workers
from sports_clip_pipeline.pipelines.cam_eval.config import CamEvalConfig

COLUMNS = ("image", "label", "answer", "right", "target", "method", "measure", "value")
FITTED_ON = 16  # photographs that shuffled batch norms are fitted on
_WORKER: dict[str, Any] = {}
# How many are measured and by whom: no photograph's own numbers depend on these.
_PLAN = (
    "photographs", "wrong_share", "workers", "resamples", "correlation_limit",
    "scorecam_images", "randomised_images",
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One photograph to measure.

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
        return f"photographs/{self._digest.hex()[:24]}"

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
        store: of the photographs; `get(row)`.
        build: makes the networks, in the process that uses them.
        identity: a fingerprint of the networks and of what they are asked.
        fitted_on: rows of the store that shuffled batch norms are fitted on.
        config: of measuring.
    """

    store: Any
    build: Callable[[], list[Network]]
    identity: str
    fitted_on: tuple[int, ...]
    config: CamEvalConfig


def plan_items(
    draw: pd.DataFrame, manifest: pd.DataFrame, config: CamEvalConfig
) -> tuple[Item, ...]:
    """The photographs of a draw (`image`, `label`), with what is measured of each.

    Args: manifest: `image` and `stored_sha256` of every row of the store.
    Raises: UserFacingError: an image that is not in the store.
    """
    stored = dict(zip(manifest["image"], enumerate(manifest["stored_sha256"]), strict=True))
    refuse_lost(draw["image"], stored, "cam_eval")
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


def measure_photographs(items: Sequence[Item], work: Work, journal: Journal) -> pd.DataFrame:
    """One row a photograph × network × method × measure.

    Returns: the columns of `COLUMNS`, in the order of the items: `answer` is the network's own,
        which is what is explained; `right` bool says whether it is the label.
    """
    found: dict[str, list[list[Any]]] = {}
    marks = {item.key: _mark(item, work) for item in items}
    with journal.counting("cam_eval", len(items), "photo") as bar:
        waiting = []
        for item in items:
            kept = journal.load_state(item.key, marks[item.key])
            if kept is None:
                waiting.append(item)
                continue
            found[item.key] = kept[1]["rows"]
            bar.update(1)
        for item, rows in _measure_all(waiting, work):
            journal.save_state(item.key, marks[item.key], meta={"rows": rows})
            found[item.key] = rows
            bar.update(1)
    rows = [row for item in items for row in found[item.key]]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def measure_one(item: Item, photo: Any, network: Network, shuffled: Any, config: Any) -> list[Any]:
    """All rows of one photograph and one network."""
    pixels = network.pixels(photo)
    answer = int(network.probabilities(pixels[None])[0].argmax())
    ask, image = network.asked_for(answer), item.image
    names = [name for name in config.methods if name != "scorecam" or item.scorecam]
    maps = {name: _map(network, pixels, answer, image, name) for name in names}
    photograph = see(pixels, ask, config.seed + item.seed)
    measured = _measured({**maps, **_floors(network, pixels, photograph)}, photograph, ask, config)
    checked = [name for name in names if name != "scorecam"]
    for level in shuffled.levels if item.shuffled else ():
        with shuffled.at(level):
            for name in checked:
                again = _map(network, pixels, answer, image, name)
                measured[name][CORRELATION + level] = rank_correlation(maps[name], again)
    said = network.classes[answer]
    return [
        [image, item.label, said, said == item.label, network.kind, method, measure, value]
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


def _floors(
    network: Network, pixels: torch.Tensor, photograph: Photograph
) -> dict[str, np.ndarray]:
    height, width = pixels.shape[-2:]
    noise = random_map(height, width, network.grid(pixels), photograph.seed)
    return dict(zip(FLOORS, (centre_map(height, width), noise), strict=True))


def _measured(
    maps: Mapping[str, np.ndarray], photograph: Photograph, ask: Any, config: CamEvalConfig
) -> dict[str, dict[str, float]]:
    """Measures by map; a map that equals an earlier one has its numbers."""
    measured: dict[str, dict[str, float]] = {}
    for name, heat in maps.items():
        twin = next((o for o in measured if np.allclose(maps[o], heat, atol=1e-4)), None)
        measured[name] = (
            dict(measured[twin])
            if twin is not None
            else faithfulness.faithfulness(
                photograph, heat, ask, config.road_shares, config.steps
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
    context = sharing_workers(["torch", __name__])
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
    end_with_parent()
    torch.set_num_threads(threads)
    _set_up(work)


def _set_up(work: Work) -> None:
    networks = work.build()
    config = work.config
    shuffled = []
    for network in networks:
        photos = [network.pixels(work.store.get(row)) for row in work.fitted_on]
        parts = (network.module, network.head, network.stages, config.stages)
        shuffled.append(Randomised(*parts, torch.stack(photos), config.seed))
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


def _mark(item: Item, work: Work) -> str:
    """What a photograph's numbers depend on."""
    settings = {key: value for key, value in vars(work.config).items() if key not in _PLAN}
    code = (
        activation_maps, faithfulness, imputation, library_maps, randomised, ranking, scores,
        sys.modules[__name__],
    )  # fmt: skip
    return fingerprint(
        work.identity, settings, vars(item), list(work.fitted_on), dict(METHODS), *code
    )
