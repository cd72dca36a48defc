"""A finished study for the demo, read through its catalog, and its predictions for an image."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from sports_clip_pipeline.clip.zero_shot import OpenVocabulary
from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.data.transforms import UnusableImageError, open_upright
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.ingest.config import ImageRules
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor
from sports_clip_pipeline.report.formatting import class_name

if TYPE_CHECKING:
    from sports_clip_pipeline.predictor.encoder_classifier import EncoderClassifier

MAX_PIXELS, MAX_NAMES, MAX_NAME_LENGTH = 50_000_000, 50, 80
_SAMPLES, _MAP_PX, _MAP_QUALITY = 8, 448, 85
_DATASETS = (
    "sports_images", "sports_manifest", "splits", "flickr8k_manifest", "embed_audit", "clip_model",
    "clip_flickr8k_features", "zero_shot_choice", "zero_shot_head", "predictor",
)  # fmt: skip
_UNUSABLE = {
    "empty": "The file is empty.",
    "not_an_image": "This file is no image that can be read here: JPEG, PNG, WebP, GIF, BMP, "
    "TIFF and AVIF are.",
    "truncated": "The image is truncated; send it again.",
    "unreadable": "The image is damaged and cannot be read.",
    "too_small": "The image is too small: {detail} pixels.",
    "too_long": "The image is too long and thin: {detail}.",
    "too_large": "The image is too large: {detail}.",
}


@dataclass(frozen=True)
class Prediction:
    """Prediction of one classifier for an image, with its class activation map.

    Attributes:
        ranked: (name, probability), the most probable first.
        map_jpeg: map of the first name over the image; None where the encoder has none.
        note: how the map was made, or why there is none.
    """

    ranked: tuple[tuple[str, float], ...]
    map_jpeg: bytes | None
    note: str


@dataclass(frozen=True)
class FinishedStudy:
    """What the demo uses of a study; its encoders stay in memory.

    Attributes:
        bank: its classes.
        finetuned: the exported classifier.
        zero_shot: the CLIP model's image encoder under the study's own zero-shot head.
        vocabulary: makes zero-shot heads for other class names.
        layer: of the explanation maps, `cam.layer`.
        samples: test images with their labels.
    """

    name: str
    bank: ClassBank
    finetuned: Predictor
    zero_shot: Predictor
    vocabulary: OpenVocabulary
    layer: str
    samples: tuple[tuple[Image.Image, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Its labels as the page shows them."""
        return tuple(class_name(label) for label in self.bank.labels)

    @cached_property
    def _modules(self) -> "tuple[EncoderClassifier, EncoderClassifier]":
        return self.zero_shot.module(), self.finetuned.module()

    def predict(self, image: Image.Image, names: Sequence[str]) -> tuple[Prediction, Prediction]:
        """Zero-shot prediction for the class names, and fine-tuned one for the study's classes."""
        head = self.vocabulary.head(names)
        predictor = replace(self.zero_shot, classes=tuple(names), head=head)
        zero_shot, finetuned = self._modules
        return (
            self._predict(image, predictor, zero_shot.with_head(head)),
            self._predict(image, self.finetuned, finetuned),
        )

    def _predict(
        self, image: Image.Image, predictor: Predictor, module: "EncoderClassifier"
    ) -> Prediction:
        from sports_clip_pipeline.explain import explainer
        from sports_clip_pipeline.explain.networks import classifier_network

        probabilities = predictor.predict_proba(predictor.features([image], module=module))[0]
        order = np.argsort(-probabilities, kind="stable")
        ranked = tuple((predictor.classes[k], float(probabilities[k])) for k in order)
        name, probability = ranked[0]
        explained = explainer.Prediction("the image", name, name, probability)
        try:
            network = classifier_network(predictor, self.layer, module)
            maps = explainer.Explainer(network, _MAP_PX, _MAP_QUALITY)
            card = maps.explain(image, explained, name)
        except UserFacingError as error:
            return Prediction(ranked, None, f"There is no map: {error.what}.")
        return Prediction(ranked, card.map_jpeg, card.method)


def open_study(project: Path, study: str, env: str | None = None) -> FinishedStudy:
    """Read a study of the project.

    Args:
        env: the configuration environment; by default the one whose `globals.yml` names the study.
    Raises: UserFacingError: it is not finished, or the environment has other classes.
    """
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project)
    logging.getLogger("kedro").setLevel(logging.WARNING)
    env = env or environment_of(project, study)
    with KedroSession.create(
        project_path=project, env=env, runtime_params={"study": study}
    ) as session:
        catalog = session.load_context().catalog  # type: ignore[attr-defined]
        _check_finished(catalog, project, study, env)
        return _read(catalog, study)


def environment_of(project: Path, study: str) -> str | None:
    """The environment whose `globals.yml` names the study; None for base."""
    from omegaconf import OmegaConf

    for file in sorted((project / "conf").glob("*/globals.yml")):
        named = OmegaConf.select(OmegaConf.load(file), "study")
        if named == study and file.parent.name != "base":
            return file.parent.name
    return None


def _check_finished(catalog: Any, project: Path, study: str, env: str | None) -> None:
    missing = next((name for name in _DATASETS if not catalog.get(name).exists()), None)
    if missing is None:
        return
    path = Path(str(catalog.get(missing)._filepath))
    path = path.relative_to(project) if path.is_relative_to(project) else path
    finished = (project / "data" / "06_models").glob("*/predictor/predictor.json")
    others = sorted({file.parents[1].name for file in finished} - {study})
    command = "make run"
    if study != "sample" or env is not None:
        command = "kedro run" + (f" --env={env}" if env else "")
        command += "" if env == study else f" --params=study={study}"
    also = f", or name a finished study: --study {' or '.join(others)}" if others else ""
    what = f"is missing, the study {study} is not finished"
    raise UserFacingError(path, what, f"run `{command}` first{also}")


def _read(catalog: Any, study: str) -> FinishedStudy:
    from sports_clip_pipeline.clip.folder import read_image_encoder

    bank = catalog.load("params:class_bank")
    finetuned, clip = catalog.load("predictor"), catalog.load("clip_model")
    audit, head = catalog.load("embed_audit"), catalog.load("zero_shot_head")
    if tuple(finetuned.classes) != bank.labels:
        what = f"its {len(finetuned.classes)} classes are not the {len(bank.labels)} configured"
        remedy = "name the configuration that the study was run with: --env"
        raise UserFacingError(f"predictor of the study {study}", what, remedy)
    zero_shot = Predictor(
        classes=bank.labels,
        encoders=(EncoderInput.from_dict(audit["encoders"][0]),),
        head=head,
        encoder_weights=read_image_encoder(clip),
    )
    return FinishedStudy(
        name=study,
        bank=bank,
        finetuned=finetuned,
        zero_shot=zero_shot,
        vocabulary=_vocabulary(catalog, bank, audit["text_encoder"], clip, head),
        layer=catalog.load("params:cam").layer,
        samples=_samples(catalog),
    )


def _vocabulary(
    catalog: Any, bank: ClassBank, text_encoder: str, clip: Path, head: Any
) -> OpenVocabulary:
    from sports_clip_pipeline.clip.folder import read_projections, trained_encoders
    from sports_clip_pipeline.clip.zero_shot import conse_of, text_features

    choice, tokenize = catalog.load("zero_shot_choice"), catalog.load("params:tokenize")
    encode = text_features(text_encoder, tokenize, clip)
    apart = "text" in trained_encoders(clip)
    manifest = catalog.load("flickr8k_manifest")
    train = (manifest["split"] == "train").to_numpy()
    return OpenVocabulary(
        bank=bank,
        prompts=catalog.load("params:zero_shot").prompts,
        encode=encode,
        encode_original=text_features(text_encoder, tokenize) if apart else encode,
        projections=read_projections(clip),
        conse=conse_of(head),
        names_weight=choice["names_weight"],
        hubness_share=choice["hubness_share"],
        background=catalog.load("clip_flickr8k_features")["features"][train],
    )


def _samples(catalog: Any) -> tuple[tuple[Image.Image, str], ...]:
    """Test images, one a class in a seeded order."""
    store, manifest = catalog.load("sports_images"), catalog.load("sports_manifest")
    row_of = pd.Series(np.arange(len(manifest)), index=manifest["image"])
    splits = catalog.load("splits")
    test = splits[splits["split"] == "test"].sort_values("image")
    drawn = test.sample(frac=1.0, random_state=0).drop_duplicates("label").head(_SAMPLES)
    pairs = zip(drawn["image"], drawn["label"], strict=True)
    return tuple((store.get(int(row_of[image])), str(label)) for image, label in pairs)


class InvalidInput(Exception):
    """Input without a prediction; the message is the sentence that the page shows."""


def open_image(content: bytes) -> Image.Image:
    """The upright RGB image. Raises: InvalidInput: the bytes are no usable image."""
    try:
        return open_upright(content, ImageRules(max_pixels=MAX_PIXELS))
    except UnusableImageError as error:
        raise InvalidInput(_UNUSABLE[error.reason].format(detail=error.detail)) from error


def parse_names(text: str) -> tuple[str, ...]:
    """The names between commas, semicolons and line breaks, each once, in order.

    >>> parse_names("tennis, a dog; Tennis,  chess ")
    ('tennis', 'a dog', 'chess')

    Raises: InvalidInput: fewer than two names, more than 50, or one longer than 80 characters.
    """
    first: dict[str, str] = {}
    for part in re.split(r"[,;\n]", text):
        name = " ".join(part.split())
        if name:
            first.setdefault(name.casefold(), name)
    names = tuple(first.values())
    if len(names) < 2:
        raise InvalidInput("Type at least two class names: one alone would always get 100 %.")
    if len(names) > MAX_NAMES:
        raise InvalidInput(f"There are {len(names)} class names; the maximum is {MAX_NAMES}.")
    longest = max(names, key=len)
    if len(longest) > MAX_NAME_LENGTH:
        size = f"has {len(longest)} characters; the maximum is {MAX_NAME_LENGTH}"
        raise InvalidInput(f"“{longest[:20]}…” {size}.")
    return names
