"""Embeds all corpora of a study with one image and text encoder, and with additional ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
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
from sports_clip_pipeline.encoders.features import (
    FeatureCache,
    FeatureSpace,
    additional_key,
    mean_of_spaces,
)
from sports_clip_pipeline.encoders.weights import file_name, is_pair
from sports_clip_pipeline.io.fingerprint import file_sha256
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.machine import cores, cores_per_process, is_main_process
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig

TRIAL_IMAGES = 16
TRIAL_CAPTIONS = 64


class Embedder:
    """Computes features of one image and one text encoder that the cache lacks.

    Args:
        clip_folder: a CLIP folder; its trained encoders replace the original ones.
        together: see `embed_images`.
    """

    def __init__(
        self,
        config: EmbedConfig,
        cache: FeatureCache,
        state: RunState,
        clip_folder: Path | None = None,
        together: bool = False,
    ) -> None:
        self._config, self._cache, self._state = config, cache, state
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
            # Imports open_clip, which the packaged encoders do not need.
            from sports_clip_pipeline.clip.folder import WEIGHTS, trained_encoders

            trained = file_sha256(clip_folder / WEIGHTS)
            self._weights |= dict.fromkeys(trained_encoders(clip_folder), trained)
        self.audit: dict[str, Any] = {
            "image_encoder": config.image_encoder,
            "text_encoder": config.text_encoder,
            "weights_sha256": self._weights,
            "preprocessing": self.preprocessings[0].to_dict(),
            "views": list(config.views),
            "backends": {},
            "computed_per_s": {},
        }
        self.choices: dict[str, BackendChoice] = {}
        self._spaces: dict[ImageTransform, FeatureSpace] = {}

    def images(self, name: str, store: ImageStore, manifest: pd.DataFrame) -> dict[str, np.ndarray]:
        """`features` (N, D) float32, `logits` (N, 1000) float16 and `row` (N,) of a corpus.

        Both are means over the views.

        Raises: ValueError: store and manifest have different lengths.
        """
        return _embed_corpus([self], [name], store, manifest, self._state)[0]

    def encoding_tasks(self, keys: list[bytes]) -> list[EncodingTask]:
        """The views of a corpus of which the cache lacks images."""
        views = [view for view in self.preprocessings if self._space(view).missing(keys)]
        return [EncodingTask(self._engine("image"), view, self._space(view)) for view in views]

    def lacks(self, keys: list[bytes]) -> bool:
        """Whether some view of some image has to be computed."""
        return any(self._space(view).missing(keys) for view in self.preprocessings)

    def collect(
        self, name: str, keys: list[bytes], computed_per_s: Mapping[str, float]
    ) -> dict[str, np.ndarray]:
        """The result of `images` for a corpus that is in the cache.

        Args:
            computed_per_s: images a second of each view that was computed, for the audit.
        Returns: an empty dict in all but the first process of torchrun.
        """
        for view in self.preprocessings:
            rate = round(computed_per_s.get(view.view, 0.0), 1)
            self.audit["computed_per_s"][f"{name} {view.view}"] = rate
        if self.together and not is_main_process():
            return {}
        means = mean_of_spaces([self._space(view) for view in self.preprocessings], keys)
        return {**means, "row": np.arange(len(keys), dtype=np.int64)}

    def each_view(self, manifest: pd.DataFrame) -> list[np.ndarray]:
        """Features (N, D) float32 of each view of a corpus that is in the cache.

        Raises: KeyError: the cache lacks some of them.
        """
        keys = [bytes.fromhex(digest) for digest in manifest["stored_sha256"]]
        spaces = [self._space(view) for view in self.preprocessings]
        return [space.gather(keys, ["features"])["features"] for space in spaces]

    def captions(self, token_ids: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """`features` (M, E) float32 of tokenized captions."""
        ids = [np.asarray(row, dtype=np.int32) for row in token_ids]
        space = self._cache.space({"weights": self._weights["text"], "pooling": "mean"})
        keys, rate = [caption_key(row) for row in ids], 0.0
        if space.missing(keys):
            _choose([self], "text", lambda _: pad(ids[:TRIAL_CAPTIONS]))
            rate = embed_captions(ids, space, self._engine("text"), self._state, self.together)
        self.audit["computed_per_s"]["captions"] = round(rate, 1)
        return {} if self.together and not is_main_process() else space.gather(keys)

    def additional(self, encoder: str) -> Embedder:
        """An embedder of another image encoder, with its original weights, for images alone."""
        # A pair has to name both encoders.
        text = encoder if is_pair(encoder) else EmbedConfig().text_encoder
        config = self._config.model_copy(
            update={"image_encoder": encoder, "text_encoder": text, "additional_encoders": ()}
        )
        return Embedder(config, self._cache, self._state, together=self.together)

    def describe(self, store: ImageStore) -> dict[str, Any]:
        """The image encoder and its inference cost, JSON-like.

        Args:
            store: images to measure with, if the cost is not yet known.
        Returns: `name`, `width`, `preprocessing` of the first view, `views`, `weights_sha256`,
            `parameters` (without the 1,000-class head), `backend`, and `ms_per_image`: of one
            core, all views, without decoding and resizing.
        """
        name = self._config.image_encoder
        encoder = image_encoders.image_encoder(name)
        _choose([self], "image", lambda embedder: embedder.trial_pixels(store))
        choice = self.choices["image"]
        return {
            "name": name,
            "width": encoder.width,
            "preprocessing": self.preprocessings[0].to_dict(),
            "views": list(self._config.views),
            "weights_sha256": self._weights["image"],
            "parameters": encoder.parameter_count(),
            "backend": choice.backend,
            "ms_per_image": round(choice.core_ms_per_item * len(self.preprocessings), 2),
        }

    def trial_pixels(self, store: ImageStore) -> tuple[np.ndarray, ...]:
        """A batch (B, 3, size, size) of the real input, to measure backends on."""
        view, rows = self.preprocessings[0], range(min(TRIAL_IMAGES, len(store)))
        return (view.normalise([view.crop(store.get(row)) for row in rows]),)

    def backend_names(self, kind: str) -> tuple[str, ...]:
        """The backends to choose from."""
        backend = self._config.backend
        return candidates(self.program(kind)) if backend == "auto" else (backend,)

    def _space(self, view: ImageTransform) -> FeatureSpace:
        if view not in self._spaces:
            description = {"weights": self._weights["image"], "preprocessing": view.to_dict()}
            self._spaces[view] = self._cache.space(description)
        return self._spaces[view]

    def program(self, kind: str) -> EncoderProgram:
        """The `image` or `text` encoder as a backend runs it."""
        config = self._config
        encoder = config.image_encoder if kind == "image" else config.text_encoder
        size = config.image_size if kind == "image" else 0
        weights = self._weights[kind][:12]
        path = self._cache.root / "onnx" / f"{file_name(encoder)}-{size}-{weights}.onnx"
        return EncoderProgram(kind, encoder, path, size, self._clip_folder)

    def _engine(self, kind: str) -> Engine:
        config, program, choice = self._config, self.program(kind), self.choices[kind]
        self.audit["backends"][kind] = {
            "chosen": choice.backend,
            "trials": [dataclasses.asdict(trial) for trial in choice.trials],
        }
        if choice.backend == "torch_cuda":
            return Engine(program, "torch_cuda", 0, cores(), batch=config.batch_size)
        own = cores_per_process(cores())
        workers = config.workers or own
        threads = max(1, own // workers)
        return Engine(program, choice.backend, workers, threads, batch=config.batch_size)


def _choose(
    embedders: Sequence[Embedder],
    kind: str,
    inputs_of: Callable[[Embedder], Sequence[np.ndarray]],
) -> None:
    """Choose the backends of several encoders, measuring at once those that are not cached."""
    tasks = {}
    for embedder in embedders:
        program, names = embedder.program(kind), embedder.backend_names(kind)
        choice = embedder.choices.get(kind) or cached_choice(program, names)
        if choice is None:
            tasks[embedder] = program, names, inputs_of(embedder)
        else:
            embedder.choices[kind] = choice
    for embedder, choice in zip(tasks, choose_backends(list(tasks.values())), strict=True):
        embedder.choices[kind] = choice


def _embed_corpus(
    embedders: Sequence[Embedder],
    names: Sequence[str],
    store: ImageStore,
    manifest: pd.DataFrame,
    state: RunState,
) -> list[dict[str, np.ndarray]]:
    """`Embedder.images` of one corpus for several encoders, decoding each image once.

    Args:
        names: of the corpus in each embedder's audit.
    Raises: ValueError: store and manifest have different lengths.
    """
    if len(store) != len(manifest):
        raise ValueError(f"{names[0]}: {len(store)} images for {len(manifest)} manifest rows")
    keys = [bytes.fromhex(digest) for digest in manifest["stored_sha256"]]
    lacking = [embedder for embedder in embedders if embedder.lacks(keys)]
    _choose(lacking, "image", lambda embedder: embedder.trial_pixels(store))
    tasks = [embedder.encoding_tasks(keys) for embedder in embedders]
    every = [task for own in tasks for task in own]
    rate = embed_images(store, keys, every, state, together=embedders[0].together)
    return [
        embedder.collect(name, keys, {task.preprocessing.view: rate for task in own})
        for embedder, name, own in zip(embedders, names, tasks, strict=True)
    ]


def encoder_cost(
    config: EmbedConfig,
    size: int,
    views: Sequence[str],
    cache: FeatureCache,
    store: ImageStore,
) -> dict[str, Any]:
    """`Embedder.describe` of the first image encoder at another input size and other views.

    Trained weights cost the same. `name` holds the size.
    """
    changed = {"image_size": size, "views": tuple(views), "additional_encoders": ()}
    row = Embedder(config.model_copy(update=changed), cache, RunState()).describe(store)
    return {**row, "name": f"{row['name']} trained, {size} px"}


def embed_with_additional(
    first: Embedder,
    additional_encoders: Sequence[str],
    name: str,
    store: ImageStore,
    manifest: pd.DataFrame,
    state: RunState,
) -> tuple[dict[str, np.ndarray], dict[str, Embedder]]:
    """Features of one corpus from the first encoder and from additional ones.

    Returns: the first embedder's `images`, with `additional.<encoder>` (N, Dₖ) float32 of each
        additional encoder; and the embedders of those, by encoder.
    """
    others = {encoder: first.additional(encoder) for encoder in additional_encoders}
    names = [name, *(f"{name} {encoder}" for encoder in others)]
    arrays, *further = _embed_corpus([first, *others.values()], names, store, manifest, state)
    for encoder, computed in zip(others, further, strict=True):
        if computed:
            arrays[additional_key(encoder)] = computed["features"]
    return arrays, others


def audit_encoders(
    first: Embedder, others: Mapping[str, Embedder], store: ImageStore
) -> dict[str, Any]:
    """How all features were made, JSON-like.

    Args:
        store: images to measure the inference cost with, if it is not yet known.
    Returns: the first embedder's audit with `additional_encoders`; `encoders`, the `describe` of
        each encoder; `backends` and `computed_per_s` of all.
    """
    rows = [embedder.describe(store) for embedder in (first, *others.values())]
    backends, computed = dict(first.audit["backends"]), dict(first.audit["computed_per_s"])
    for encoder, other in others.items():
        computed |= other.audit["computed_per_s"]
        if "image" in other.audit["backends"]:
            backends[additional_key(encoder)] = other.audit["backends"]["image"]
    return {
        **first.audit,
        "additional_encoders": list(others),
        "encoders": rows,
        "backends": backends,
        "computed_per_s": computed,
    }
