"""Embeds all corpora of a study with one image and text encoder, and with additional ones."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from sports_clip_pipeline.data.captions import pad
from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders import backends, image_encoders, text_encoders
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

    Attributes:
        audit: how the features were made, JSON-like. choices: backends by kind of encoder.
    """

    def __init__(
        self,
        config: EmbedConfig,
        cache: FeatureCache,
        state: RunState,
        clip_folder: Path | None = None,
        together: bool = False,
    ) -> None:
        self.config, self._cache, self._state = config, cache, state
        self._clip_folder, self._together = clip_folder, together
        self.choices: dict[str, backends.BackendChoice] = {}
        image_encoders.check_image_size(config.image_encoder, config.image_size)
        self._views = [
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
            "preprocessing": self._views[0].to_dict(),
            "views": list(config.views),
            "backends": {},
            "computed_per_s": {},
        }

    @cached_property
    def additional(self) -> dict[str, Self]:
        """Embedders of the additional image encoders, with original weights, for images alone."""
        embedders = {}
        for name in self.config.additional_encoders:
            # A pair has to name both encoders.
            text = name if is_pair(name) else EmbedConfig().text_encoder
            changes = {"image_encoder": name, "text_encoder": text, "additional_encoders": ()}
            config = self.config.model_copy(update=changes)
            embedders[name] = type(self)(config, self._cache, self._state, together=self._together)
        return embedders

    def images(
        self, name: str, store: ImageStore, manifest: pd.DataFrame, additional: bool = False
    ) -> dict[str, np.ndarray]:
        """`features` (N, D) float32, `logits` (N, 1000) float16 and `row` (N,) of a corpus.

        Both are means over the views. Each image is decoded once for all views and encoders.

        Args:
            name: of the corpus in the audit.
            additional: whether to add `additional.<encoder>` (N, Dₖ) float32 of the others.
        Returns: an empty dict in all but the first process of torchrun.
        Raises: ValueError: store and manifest have different lengths.
        """
        if len(store) != len(manifest):
            raise ValueError(f"{name}: {len(store)} images for {len(manifest)} manifest rows")
        keys = _image_keys(manifest)
        others = self.additional if additional else {}
        embedders = {name: self} | {f"{name} {encoder}": other for encoder, other in others.items()}
        incomplete = [embedder for embedder in embedders.values() if embedder._lacking(keys)]
        _choose(incomplete, "image", lambda embedder: embedder._trial_pixels(store))
        tasks = {
            f"{label} {view.view}": EncodingTask(embedder._engine("image"), view, space)
            for label, embedder in embedders.items()
            for view, space in embedder._lacking(keys).items()
        }
        rate = embed_images(store, keys, list(tasks.values()), self._state, self._together)
        rates = dict.fromkeys(
            (f"{label} {v}" for label in embedders for v in self.config.views), 0.0
        )
        self.audit["computed_per_s"] |= rates | dict.fromkeys(tasks, round(rate, 1))
        if self._together and not is_main_process():
            return {}
        arrays = {**self._means(keys), "row": np.arange(len(keys), dtype=np.int64)}
        for encoder, other in others.items():
            arrays[additional_key(encoder)] = other._means(keys)["features"]
        return arrays

    def each_view(self, manifest: pd.DataFrame) -> list[np.ndarray]:
        """Features (N, D) float32 of each view of a corpus that is in the cache.

        Raises: KeyError: the cache lacks some of them.
        """
        keys = _image_keys(manifest)
        return [space.gather(keys, ["features"])["features"] for space in self._spaces.values()]

    def captions(self, token_ids: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """`features` (M, E) float32 of tokenized captions."""
        ids = [np.asarray(row, dtype=np.int32) for row in token_ids]
        space = self._cache.space({"weights": self._weights["text"], "pooling": "mean"})
        keys, rate = [caption_key(row) for row in ids], 0.0
        if space.missing(keys):
            _choose([self], "text", lambda _: pad(ids[:TRIAL_CAPTIONS]))
            rate = embed_captions(ids, space, self._engine("text"), self._state, self._together)
        self.audit["computed_per_s"]["captions"] = round(rate, 1)
        return {} if self._together and not is_main_process() else space.gather(keys)

    def describe(self, store: ImageStore) -> dict[str, Any]:
        """The image encoder and its inference cost, JSON-like.

        Args:
            store: images to measure with, if the cost is not yet known.
        Returns: `name`, `width`, `preprocessing` of the first view, `views`, `weights_sha256`,
            `parameters` (without the 1,000-class head), `backend`, and `ms_per_image`: of one
            core, all views, without decoding and resizing.
        """
        encoder = image_encoders.image_encoder(self.config.image_encoder)
        _choose([self], "image", lambda _: self._trial_pixels(store))
        choice = self.choices["image"]
        return {
            "name": self.config.image_encoder,
            "width": encoder.width,
            "preprocessing": self.audit["preprocessing"],
            "views": self.audit["views"],
            "weights_sha256": self._weights["image"],
            "parameters": encoder.parameter_count(),
            "backend": choice.backend,
            "ms_per_image": round(choice.core_ms_per_item * len(self._views), 2),
        }

    def whole_audit(self, store: ImageStore) -> dict[str, Any]:
        """The audit with `additional_encoders`, `encoders` (`describe` of each), all `backends`."""
        merged = dict(self.audit["backends"])
        for encoder, other in self.additional.items():
            if "image" in other.audit["backends"]:
                merged[additional_key(encoder)] = other.audit["backends"]["image"]
        rows = [embedder.describe(store) for embedder in (self, *self.additional.values())]
        return {
            **self.audit,
            "additional_encoders": list(self.additional),
            "encoders": rows,
            "backends": merged,
        }

    def program(self, kind: str) -> backends.EncoderProgram:
        """The `image` or `text` encoder as a backend runs it."""
        image = kind == "image"
        encoder = self.config.image_encoder if image else self.config.text_encoder
        size = self.config.image_size if image else 0
        weights = self._weights[kind][:12]
        path = self._cache.root / "onnx" / f"{file_name(encoder)}-{size}-{weights}.onnx"
        return backends.EncoderProgram(kind, encoder, path, size, self._clip_folder)

    @cached_property
    def _spaces(self) -> dict[ImageTransform, FeatureSpace]:
        weights = self._weights["image"]
        return {
            view: self._cache.space({"weights": weights, "preprocessing": view.to_dict()})
            for view in self._views
        }

    def _lacking(self, keys: list[bytes]) -> dict[ImageTransform, FeatureSpace]:
        """The views whose space lacks some of the images."""
        return {view: space for view, space in self._spaces.items() if space.missing(keys)}

    def _means(self, keys: list[bytes]) -> dict[str, np.ndarray]:
        return mean_of_spaces(list(self._spaces.values()), keys)

    def _trial_pixels(self, store: ImageStore) -> tuple[np.ndarray]:
        """A batch (B, 3, size, size) of the real input, to measure backends on."""
        view, rows = self._views[0], range(min(TRIAL_IMAGES, len(store)))
        return (view.normalise([view.crop(store.get(row)) for row in rows]),)

    def _engine(self, kind: str) -> Engine:
        program, choice, batch = self.program(kind), self.choices[kind], self.config.batch_size
        self.audit["backends"][kind] = {
            "chosen": choice.backend,
            "trials": [trial._asdict() for trial in choice.trials],
        }
        if choice.backend == "torch_cuda":
            return Engine(program, "torch_cuda", 1, cores(), batch=batch)
        own = cores_per_process(cores())
        workers = self.config.workers or own
        return Engine(program, choice.backend, workers, max(1, own // workers), batch=batch)


def _image_keys(manifest: pd.DataFrame) -> list[bytes]:
    return [bytes.fromhex(digest) for digest in manifest["stored_sha256"]]


def _choose(
    embedders: Sequence[Embedder], kind: str, inputs_of: Callable[[Embedder], Sequence[np.ndarray]]
) -> None:
    """Choose the backends of several encoders, measuring at once those that are not cached."""
    tasks = {}
    for embedder in embedders:
        program, backend = embedder.program(kind), embedder.config.backend
        names = backends.candidates(program) if backend == "auto" else (backend,)
        choice = embedder.choices.get(kind) or backends.cached_choice(program, names)
        if choice is None:
            tasks[embedder] = program, names, inputs_of(embedder)
        else:
            embedder.choices[kind] = choice
    for embedder, choice in zip(tasks, backends.choose_backends(list(tasks.values())), strict=True):
        embedder.choices[kind] = choice


def encoder_cost(
    config: EmbedConfig, size: int, views: Sequence[str], cache: FeatureCache, store: ImageStore
) -> dict[str, Any]:
    """`Embedder.describe` of the first image encoder at another input size and other views.

    Trained weights cost the same. `name` holds the size.
    """
    changed = {"image_size": size, "views": tuple(views), "additional_encoders": ()}
    row = Embedder(config.model_copy(update=changed), cache, RunState()).describe(store)
    return {**row, "name": f"{row['name']} trained, {size} px"}
