"""Which space of the cache, which backend: one object that embeds all corpora of a study."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.data.captions import pad
from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders import image_encoders, inference_cost, text_encoders
from sports_clip_pipeline.encoders.backends import TowerProgram, Trial, candidates, choose_backends
from sports_clip_pipeline.encoders.embedding import (
    Engine,
    Sight,
    caption_key,
    embed_captions,
    embed_images,
)
from sports_clip_pipeline.encoders.feature_store import FeatureCache, FeatureSpace, mean_of_spaces
from sports_clip_pipeline.encoders.registry import is_pair
from sports_clip_pipeline.encoders.weights import file_name
from sports_clip_pipeline.io.fingerprint import file_sha256
from sports_clip_pipeline.io.state import Journal
from sports_clip_pipeline.machine import cores, leads, own_cores
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig

TRIAL_IMAGES = 16
TRIAL_CAPTIONS = 64


class Embedder:
    """Makes features by content address; computes only what the cache does not hold.

    Args:
        clip_folder: a CLIP folder whose towers make the features where it trained them.
        together: see `embed_images`.
    """

    def __init__(
        self,
        config: EmbedConfig,
        cache: FeatureCache,
        journal: Journal,
        clip_folder: Path | None = None,
        together: bool = False,
    ) -> None:
        self._config, self._cache, self._journal = config, cache, journal
        self._clip_folder, self.together = clip_folder, together
        image_encoders.check_image_size(config.image_encoder, config.image_size)
        self.preprocessings = [
            image_encoders.image_preprocessing(config.image_encoder, config.image_size, view)
            for view in config.views
        ]
        image = image_encoders.image_encoder(config.image_encoder)
        text = text_encoders.text_tower_spec(config.text_encoder)
        image.weights.checked()
        text.weights.checked()
        self._weights = {"image": image.digest, "text": text.digest}
        if clip_folder is not None:
            # Imports open_clip, which the packaged towers can do without.
            from sports_clip_pipeline.clip.folder import WEIGHTS, trained_towers

            trained = file_sha256(clip_folder / WEIGHTS)
            self._weights |= dict.fromkeys(trained_towers(clip_folder), trained)
        self._audit: dict[str, Any] = {
            "image_encoder": config.image_encoder,
            "text_encoder": config.text_encoder,
            "weights_sha256": self._weights,
            "preprocessing": self.preprocessings[0].to_dict(),
            "views": list(config.views),
            "backends": {},
            "computed_per_s": {},
        }
        self._chosen: dict[str, str] = {}
        self._spaces: dict[ImageTransform, FeatureSpace] = {}

    def images(self, name: str, store: ImageStore, manifest: pd.DataFrame) -> dict[str, np.ndarray]:
        """`features` (N, D) float32, `logits` (N, 1000) float16 and `row` (N,) of a corpus.

        Both are means over the views.

        Raises: ValueError: store and manifest have different lengths.
        """
        return embed_together([self], [name], store, manifest, self._journal)[0]

    def lacks(self, keys: list[bytes]) -> bool:
        """Whether some view of some image has to be computed."""
        return any(self._space(view).missing(keys) for view in self.preprocessings)

    def sights(self, store: ImageStore, keys: list[bytes]) -> list[Sight]:
        """The views of a corpus of which the cache lacks something."""
        found = []
        for view in self.preprocessings:
            space = self._space(view)
            if space.missing(keys):
                engine = self._engine("image", (self._first_pixels(store, view),))
                found.append(Sight(engine, view, space))
        return found

    def gathered(
        self, name: str, keys: list[bytes], computed_per_s: Mapping[str, float]
    ) -> dict[str, np.ndarray]:
        """What `images` gives, of a corpus that the cache holds.

        Args:
            computed_per_s: photographs a second of each view that was computed, for the audit.
        Returns: nothing in a process that only helps the first one.
        """
        for view in self.preprocessings:
            rate = round(computed_per_s.get(view.view, 0.0), 1)
            self._audit["computed_per_s"][f"{name} {view.view}"] = rate
        if self._only_helps():
            return {}
        means = mean_of_spaces([self._space(view) for view in self.preprocessings], keys)
        return {
            "features": means["features"],
            "logits": means["logits"],
            "row": np.arange(len(keys), dtype=np.int64),
        }

    def each_view(self, manifest: pd.DataFrame) -> list[np.ndarray]:
        """(N, D) float32 of each view apart, of a corpus that `images` was asked for before.

        Raises: KeyError: the cache does not hold them any more.
        """
        keys = [bytes.fromhex(digest) for digest in manifest["stored_sha256"]]
        return [
            self._space(view).gather(keys, ["features"])["features"] for view in self.preprocessings
        ]

    def captions(self, token_ids: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """`features` (M, E) float32 of tokenized captions."""
        ids = [np.asarray(row, dtype=np.int32) for row in token_ids]
        space = self._cache.space({"weights": self._weights["text"], "pooling": "mean"})
        keys, rate = [caption_key(row) for row in ids], 0.0
        if space.missing(keys):
            engine = self._engine("text", pad(ids[:TRIAL_CAPTIONS]))
            rate = embed_captions(ids, space, engine, self._journal, self.together)
        self._audit["computed_per_s"]["captions"] = round(rate, 1)
        return {} if self._only_helps() else space.gather(keys)

    def _only_helps(self) -> bool:
        """Whether another process that a launcher started gathers what this one computed."""
        return self.together and not leads()

    def companion(self, tower: str) -> Embedder:
        """The same for another image tower, as it came."""
        # It reads no text; a pair has to name both.
        text = tower if is_pair(tower) else EmbedConfig().text_encoder
        config = self._config.model_copy(
            update={"image_encoder": tower, "text_encoder": text, "additional_encoders": ()}
        )
        return Embedder(config, self._cache, self._journal, together=self.together)

    def tower(self, store: ImageStore) -> dict[str, Any]:
        """What the image tower is and what it costs, JSON-like.

        Args:
            store: photographs to measure with, where the cost is not known yet.
        Returns: `name`, `width`, `preprocessing` of the first view, `views`, `weights_sha256`,
            `parameters` (its 1,000-class head not counted), `backend`, and `ms_per_image`: of
            one core, all views, without decoding and resizing.
        """
        name = self._config.image_encoder
        rate = inference_cost.kept_rate(self._program("image"), self._config.backend)
        if rate is None:
            self._choose("image", (self._first_pixels(store, self.preprocessings[0]),))
            rate = inference_cost.kept_rate(self._program("image"), self._config.backend)
            assert rate is not None
        return {
            "name": name,
            "width": image_encoders.image_encoder(name).width,
            "preprocessing": self.preprocessings[0].to_dict(),
            "views": list(self._config.views),
            "weights_sha256": self._weights["image"],
            "parameters": image_encoders.image_encoder(name).parameter_count(),
            "backend": rate.backend,
            "ms_per_image": round(rate.ms_per_item * len(self.preprocessings), 2),
        }

    def audit(self) -> dict[str, Any]:
        """How the features were made, JSON-like."""
        return self._audit

    def _space(self, view: ImageTransform) -> FeatureSpace:
        """The cache's space of a view; its index is read from the disk once."""
        if view not in self._spaces:
            described = {"weights": self._weights["image"], "preprocessing": view.to_dict()}
            self._spaces[view] = self._cache.space(described)
        return self._spaces[view]

    def _engine(self, kind: str, trial: Sequence[np.ndarray]) -> Engine:
        config = self._config
        if kind not in self._chosen:
            self._choose(kind, trial)
        program, backend = self._program(kind), self._chosen[kind]
        if backend == "torch_cuda":
            return Engine(program, backend, workers=0, threads=cores(), batch=config.batch_size)
        mine = own_cores(cores())
        workers = config.workers or mine
        threads = max(1, mine // workers)
        return Engine(program, backend, workers, threads, batch=config.batch_size)

    def _program(self, kind: str) -> TowerProgram:
        config = self._config
        tower = config.image_encoder if kind == "image" else config.text_encoder
        size = config.image_size if kind == "image" else 0
        weights = self._weights[kind][:12]
        path = self._cache.root / "onnx" / f"{file_name(tower)}-{size}-{weights}.onnx"
        return TowerProgram(kind, tower, path, size, self._clip_folder)

    def _choose(self, kind: str, trial: Sequence[np.ndarray]) -> None:
        self._take(kind, *choose_backends([self._task(kind, trial)], threads=1)[0])

    def _task(
        self, kind: str, trial: Sequence[np.ndarray]
    ) -> tuple[TowerProgram, Sequence[str], Sequence[np.ndarray]]:
        asked, program = self._config.backend, self._program(kind)
        return program, candidates(program.tower) if asked == "auto" else (asked,), trial

    def _take(self, kind: str, backend: str, trials: Sequence[Trial]) -> None:
        """Use the backend that was chosen; keep what the trials say of the tower's price."""
        self._chosen[kind] = backend
        self._audit["backends"][kind] = {"chosen": backend, "trials": [_row(t) for t in trials]}
        ms = next(trial.core_ms_per_item for trial in trials if trial.backend == backend)
        rate = inference_cost.Rate(inference_cost.machine(), self._config.backend, backend, ms)
        inference_cost.keep_rate(self._program(kind), rate)

    def _first_pixels(self, store: ImageStore, preprocessing: ImageTransform) -> np.ndarray:
        """A block (B, 3, size, size) of the real input, to try backends on."""
        rows = range(min(TRIAL_IMAGES, len(store)))
        return preprocessing.normalise([preprocessing.crop(store.get(row)) for row in rows])


def embed_together(
    embedders: Sequence[Embedder],
    names: Sequence[str],
    store: ImageStore,
    manifest: pd.DataFrame,
    journal: Journal,
) -> list[dict[str, np.ndarray]]:
    """What `Embedder.images` gives of one corpus, for several towers in one pass over it.

    Args:
        names: of the corpus, as each embedder's audit calls it.
    Raises: ValueError: store and manifest have different lengths.
    """
    if len(store) != len(manifest):
        raise ValueError(f"{names[0]}: {len(store)} images for {len(manifest)} manifest rows")
    keys = [bytes.fromhex(digest) for digest in manifest["stored_sha256"]]
    _choose_together([tower for tower in embedders if tower.lacks(keys)], store)
    sights = [tower.sights(store, keys) for tower in embedders]
    every = [sight for own in sights for sight in own]
    rate = embed_images(store, keys, every, journal, together=embedders[0].together)
    return [
        tower.gathered(name, keys, {sight.preprocessing.view: rate for sight in own})
        for tower, name, own in zip(embedders, names, sights, strict=True)
    ]


def _choose_together(embedders: Sequence[Embedder], store: ImageStore) -> None:
    """Let those that have no backend yet try theirs at the same time."""
    waiting = [tower for tower in embedders if "image" not in tower._chosen]
    first = [(tower._first_pixels(store, tower.preprocessings[0]),) for tower in waiting]
    tasks = [tower._task("image", pixels) for tower, pixels in zip(waiting, first, strict=True)]
    for tower, found in zip(waiting, choose_backends(tasks, threads=1), strict=True):
        tower._take("image", *found)


def tower_price(
    config: EmbedConfig,
    size: int,
    views: Sequence[str],
    cache: FeatureCache,
    store: ImageStore,
) -> dict[str, Any]:
    """What the first image tower costs at another size and on other views (`Embedder.tower`).

    Its weights do not matter to its price. `name` says the size.
    """
    seen = config.model_copy(
        update={"image_size": size, "views": tuple(views), "additional_encoders": ()}
    )
    row = Embedder(seen, cache, Journal()).tower(store)
    return {**row, "name": f"{row['name']} trained, {size} px"}


def _row(trial: Trial) -> dict[str, Any]:
    return dataclasses.asdict(trial)
