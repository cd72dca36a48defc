"""Embeds all corpora of a study with one image and text encoder, and with additional ones."""

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
from sports_clip_pipeline.encoders import image_encoders, text_encoders
from sports_clip_pipeline.encoders.backends import (
    BackendChoice,
    EncoderProgram,
    cached_choice,
    candidates,
    choose_backends,
)
from sports_clip_pipeline.encoders.embedding import (
    EncodingTask,
    Engine,
    caption_key,
    embed_captions,
    embed_images,
)
from sports_clip_pipeline.encoders.feature_store import (
    FeatureCache,
    FeatureSpace,
    additional_key,
    mean_of_spaces,
)
from sports_clip_pipeline.encoders.registry import is_pair
from sports_clip_pipeline.encoders.weights import file_name
from sports_clip_pipeline.io.fingerprint import file_sha256
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.machine import cores, cores_per_process, is_main_process
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig

TRIAL_IMAGES = 16
TRIAL_CAPTIONS = 64


class Embedder:
    """Makes features by content address; computes only what the cache does not hold.

    Args:
        clip_folder: a CLIP folder whose encoders make the features where it trained them.
        together: see `embed_images`.
    """

    def __init__(
        self,
        config: EmbedConfig,
        cache: FeatureCache,
        journal: RunState,
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
        text = text_encoders.text_encoder_spec(config.text_encoder)
        image.weights.checked()
        text.weights.checked()
        self._weights = {"image": image.digest, "text": text.digest}
        if clip_folder is not None:
            # Imports open_clip, which the packaged encoders can do without.
            from sports_clip_pipeline.clip.folder import WEIGHTS, trained_encoders

            trained = file_sha256(clip_folder / WEIGHTS)
            self._weights |= dict.fromkeys(trained_encoders(clip_folder), trained)
        self._audit: dict[str, Any] = {
            "image_encoder": config.image_encoder,
            "text_encoder": config.text_encoder,
            "weights_sha256": self._weights,
            "preprocessing": self.preprocessings[0].to_dict(),
            "views": list(config.views),
            "backends": {},
            "computed_per_s": {},
        }
        self._choices: dict[str, BackendChoice] = {}
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

    def encoding_tasks(self, store: ImageStore, keys: list[bytes]) -> list[EncodingTask]:
        """The views of a corpus of which the cache lacks something."""
        found = []
        for view in self.preprocessings:
            space = self._space(view)
            if space.missing(keys):
                found.append(EncodingTask(self._engine("image"), view, space))
        return found

    def gathered(
        self, name: str, keys: list[bytes], computed_per_s: Mapping[str, float]
    ) -> dict[str, np.ndarray]:
        """What `images` gives, of a corpus that the cache holds.

        Args:
            computed_per_s: images a second of each view that was computed, for the audit.
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
            if self.choice("text") is None:
                self.take("text", *choose_backends([self.task("text", pad(ids[:TRIAL_CAPTIONS]))]))
            rate = embed_captions(ids, space, self._engine("text"), self._journal, self.together)
        self._audit["computed_per_s"]["captions"] = round(rate, 1)
        return {} if self._only_helps() else space.gather(keys)

    def _only_helps(self) -> bool:
        """Whether another process that a launcher started gathers what this one computed."""
        return self.together and not is_main_process()

    def companion(self, tower: str) -> Embedder:
        """The same for another image encoder, as it came."""
        # It reads no text; a pair has to name both.
        text = tower if is_pair(tower) else EmbedConfig().text_encoder
        config = self._config.model_copy(
            update={"image_encoder": tower, "text_encoder": text, "additional_encoders": ()}
        )
        return Embedder(config, self._cache, self._journal, together=self.together)

    def tower(self, store: ImageStore) -> dict[str, Any]:
        """What the image encoder is and what it costs, JSON-like.

        Args:
            store: images to measure with, where the cost is not known yet.
        Returns: `name`, `width`, `preprocessing` of the first view, `views`, `weights_sha256`,
            `parameters` (its 1,000-class head not counted), `backend`, and `ms_per_image`: of
            one core, all views, without decoding and resizing.
        """
        name = self._config.image_encoder
        _choose_together([self], store)
        choice = self._choices["image"]
        return {
            "name": name,
            "width": image_encoders.image_encoder(name).width,
            "preprocessing": self.preprocessings[0].to_dict(),
            "views": list(self._config.views),
            "weights_sha256": self._weights["image"],
            "parameters": image_encoders.image_encoder(name).parameter_count(),
            "backend": choice.backend,
            "ms_per_image": round(choice.core_ms_per_item * len(self.preprocessings), 2),
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

    def choice(self, kind: str) -> BackendChoice | None:
        """The backend chosen for `image` or `text`, now or in an earlier run; None for none yet."""
        if kind not in self._choices:
            program = self._program(kind)
            cached = cached_choice(program, self._backend_names(program))
            if cached is None:
                return None
            self._choices[kind] = cached
        return self._choices[kind]

    def take(self, kind: str, choice: BackendChoice) -> None:
        """Use a backend that was just chosen."""
        self._choices[kind] = choice

    def task(
        self, kind: str, inputs: Sequence[np.ndarray]
    ) -> tuple[EncoderProgram, Sequence[str], Sequence[np.ndarray]]:
        """One task of `choose_backends`."""
        program = self._program(kind)
        return program, self._backend_names(program), inputs

    def first_pixels(self, store: ImageStore) -> tuple[np.ndarray, ...]:
        """A block (B, 3, size, size) of the real input, to measure backends on."""
        view, rows = self.preprocessings[0], range(min(TRIAL_IMAGES, len(store)))
        return (view.normalise([view.crop(store.get(row)) for row in rows]),)

    def _backend_names(self, program: EncoderProgram) -> tuple[str, ...]:
        asked = self._config.backend
        return candidates(program.tower) if asked == "auto" else (asked,)

    def _engine(self, kind: str) -> Engine:
        config, program, choice = self._config, self._program(kind), self._choices[kind]
        self._audit["backends"][kind] = {
            "chosen": choice.backend,
            "trials": [dataclasses.asdict(trial) for trial in choice.trials],
        }
        if choice.backend == "torch_cuda":
            return Engine(program, "torch_cuda", 0, cores(), batch=config.batch_size)
        own = cores_per_process(cores())
        workers = config.workers or own
        threads = max(1, own // workers)
        return Engine(program, choice.backend, workers, threads, batch=config.batch_size)

    def _program(self, kind: str) -> EncoderProgram:
        config = self._config
        tower = config.image_encoder if kind == "image" else config.text_encoder
        size = config.image_size if kind == "image" else 0
        weights = self._weights[kind][:12]
        path = self._cache.root / "onnx" / f"{file_name(tower)}-{size}-{weights}.onnx"
        return EncoderProgram(kind, tower, path, size, self._clip_folder)


def embed_together(
    embedders: Sequence[Embedder],
    names: Sequence[str],
    store: ImageStore,
    manifest: pd.DataFrame,
    journal: RunState,
) -> list[dict[str, np.ndarray]]:
    """What `Embedder.images` gives of one corpus, for several encoders in one pass over it.

    Args:
        names: of the corpus, as each embedder's audit calls it.
    Raises: ValueError: store and manifest have different lengths.
    """
    if len(store) != len(manifest):
        raise ValueError(f"{names[0]}: {len(store)} images for {len(manifest)} manifest rows")
    keys = [bytes.fromhex(digest) for digest in manifest["stored_sha256"]]
    _choose_together([tower for tower in embedders if tower.lacks(keys)], store)
    encoding_tasks = [tower.encoding_tasks(store, keys) for tower in embedders]
    every = [task for own in encoding_tasks for task in own]
    rate = embed_images(store, keys, every, journal, together=embedders[0].together)
    return [
        tower.gathered(name, keys, {task.preprocessing.view: rate for task in own})
        for tower, name, own in zip(embedders, names, encoding_tasks, strict=True)
    ]


def _choose_together(embedders: Sequence[Embedder], store: ImageStore) -> None:
    """Choose the image backends that are not yet chosen, all at the same time."""
    waiting = [embedder for embedder in embedders if embedder.choice("image") is None]
    tasks = [embedder.task("image", embedder.first_pixels(store)) for embedder in waiting]
    for embedder, choice in zip(waiting, choose_backends(tasks), strict=True):
        embedder.take("image", choice)


def encoder_cost(
    config: EmbedConfig,
    size: int,
    views: Sequence[str],
    cache: FeatureCache,
    store: ImageStore,
) -> dict[str, Any]:
    """What the first image encoder costs at another size and on other views (`Embedder.tower`).

    Its weights do not matter to its price. `name` says the size.
    """
    seen = config.model_copy(
        update={"image_size": size, "views": tuple(views), "additional_encoders": ()}
    )
    row = Embedder(seen, cache, RunState()).tower(store)
    return {**row, "name": f"{row['name']} trained, {size} px"}


def embed_with_additional(
    first: Embedder,
    additional_encoders: Sequence[str],
    name: str,
    store: ImageStore,
    manifest: pd.DataFrame,
    journal: RunState,
) -> tuple[dict[str, np.ndarray], dict[str, Embedder]]:
    """Features of one corpus from the first encoder and from further ones, by its settings.

    Returns: the first embedder's `images`, with `companion.<tower>` (N, Dₖ) float32 of each
        companion, means over the same views; and what made those, by encoder.
    """
    others = {tower: first.companion(tower) for tower in additional_encoders}
    names = [name, *(f"{name} {tower}" for tower in others)]
    seen, *further = embed_together([first, *others.values()], names, store, manifest, journal)
    named = zip(others, further, strict=True)
    arrays = {additional_key(tower): found["features"] for tower, found in named if found}
    return {**seen, **arrays}, others


def audit_encoders(
    first: Embedder, others: Mapping[str, Embedder], store: ImageStore
) -> dict[str, Any]:
    """How all features were made, JSON-like: the first embedder's audit, then the others'.

    Args:
        store: images to measure the encoders' cost with, where it is not known yet.
    Returns: the first audit with `additional_encoders`; `towers`, a row an encoder, the first one
        first (see `Embedder.tower`); `backends` with `companion.<tower>`; `computed_per_s` of all.
    """
    audit = first.audit()
    rows = [embedder.tower(store) for embedder in (first, *others.values())]
    backends, computed = dict(audit["backends"]), dict(audit["computed_per_s"])
    for tower, other in others.items():
        theirs = other.audit()
        computed |= theirs["computed_per_s"]
        if "image" in theirs["backends"]:
            backends[additional_key(tower)] = theirs["backends"]["image"]
    named = {"additional_encoders": list(others), "towers": rows}
    return {**audit, **named, "backends": backends, "computed_per_s": computed}
