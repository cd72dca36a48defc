"""What the page needs of a finished study, read through its catalog."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
from sports_clip_pipeline.predictor.predictor import Predictor
from sports_clip_pipeline.report.formatting import class_name

if TYPE_CHECKING:
    from sports_clip_pipeline.predictor.encoder_classifier import EncoderClassifier


NEEDED = (
    "sports_images",
    "sports_manifest",
    "splits",
    "flickr8k_manifest",
    "embed_audit",
    "clip_model",
    "clip_flickr8k_features",
    "zero_shot_choice",
    "zero_shot_head",
    "predictor",
)
SAMPLES = 8


@dataclass(frozen=True)
class FinishedStudy:
    """A study as the page knows it.

    Attributes:
        name: of the study.
        bank: its classes.
        finetuned: the chosen classifier.
        zero_shot: the CLIP model's image tower under the study's own zero-shot head.
        vocabulary: gives heads for other names.
        layer: of the maps, `cam.layer`.
        samples: photographs of the evaluation part, with their labels.
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


def open_study(project: Path, study: str, env: str | None = None) -> FinishedStudy:
    """Read a study of the project.

    Args:
        env: the configuration environment; by default the one that is named for the study.
    Raises: UserFacingError: it is not finished, or the environment has other classes.
    """
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project)
    logging.getLogger("kedro").setLevel(logging.WARNING)
    env = env or env_of(project, study)
    with KedroSession.create(
        project_path=project, env=env, runtime_params={"study": study}
    ) as session:
        catalog = session.load_context().catalog  # type: ignore[attr-defined]
        _check_finished(catalog, project, study, env)
        return _read(catalog, study)


def env_of(project: Path, study: str) -> str | None:
    """The environment whose `globals.yml` names the study; None where no but base may."""
    from omegaconf import OmegaConf

    for file in sorted((project / "conf").glob("*/globals.yml")):
        named = OmegaConf.select(OmegaConf.load(file), "study")
        if named == study and file.parent.name != "base":
            return file.parent.name
    return None


def finished_studies(project: Path) -> list[str]:
    """Names of the studies that have a predictor."""
    found = (project / "data" / "06_models").glob("*/predictor/predictor.json")
    return sorted(file.parents[1].name for file in found)


def _check_finished(catalog: Any, project: Path, study: str, env: str | None) -> None:
    missing = next((name for name in NEEDED if not catalog.get(name).exists()), None)
    if missing is None:
        return
    place = Path(str(catalog.get(missing)._filepath))
    place = place.relative_to(project) if place.is_relative_to(project) else place
    others = [name for name in finished_studies(project) if name != study]
    also = f", or name a finished study: --study {' or '.join(others)}" if others else ""
    what = f"is missing, the study {study} is not finished"
    raise UserFacingError(place, what, f"run `{_command(study, env)}` first{also}")


def _command(study: str, env: str | None) -> str:
    if study == "sample" and env is None:
        return "make run"
    asked = f" --env={env}" if env else ""
    return f"kedro run{asked}" if env == study else f"kedro run{asked} --params=study={study}"


def _read(catalog: Any, study: str) -> FinishedStudy:
    from sports_clip_pipeline.clip.folder import read_image_encoder, read_preprocessing

    bank = catalog.load("params:class_bank")
    finetuned, clip = catalog.load("predictor"), catalog.load("clip_model")
    audit, head = catalog.load("embed_audit"), catalog.load("zero_shot_head")
    if tuple(finetuned.classes) != bank.labels:
        what = f"its {len(finetuned.classes)} classes are not the {len(bank.labels)} configured"
        remedy = "name the configuration that the study was run with: --env"
        raise UserFacingError(f"predictor of the study {study}", what, remedy)
    zero_shot = Predictor(
        classes=bank.labels,
        image_encoder=audit["image_encoder"],
        preprocessing=read_preprocessing(clip),
        head=head,
        views=tuple(audit["views"]),
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
    """Photographs of the evaluation part, one a class in a seeded order."""
    store, manifest = catalog.load("sports_images"), catalog.load("sports_manifest")
    row_of = pd.Series(np.arange(len(manifest)), index=manifest["image"])
    splits = catalog.load("splits")
    judges = splits[splits["split"] == "test"].sort_values("image")
    drawn = judges.sample(frac=1.0, random_state=0).drop_duplicates("label").head(SAMPLES)
    pairs = zip(drawn["image"], drawn["label"], strict=True)
    return tuple((store.get(int(row_of[image])), str(label)) for image, label in pairs)


MOST_PIXELS = 50_000_000
MAP_PX, MAP_QUALITY = 448, 85
_REASONS = {
    "empty": "The file is empty.",
    "not_an_image": "This file is no photograph that can be read here: JPEG, PNG, WebP, GIF, BMP, "
    "TIFF and AVIF are.",
    "truncated": "The photograph ends before it is whole; send it again.",
    "unreadable": "The photograph is damaged and cannot be read.",
    "too_small": "The photograph is too small: {detail} pixels.",
    "too_long": "The photograph is too long and thin: {detail}.",
    "too_large": "The photograph is too large: {detail}.",
}


@dataclass(frozen=True)
class Map:
    """Where in the photograph a score comes from.

    Attributes:
        name: whose score. method: how it was made, for people to read.
        jpeg: the map over the photograph.
    """

    name: str
    method: str
    jpeg: bytes


@dataclass(frozen=True)
class Answer:
    """What one classifier says.

    Attributes:
        ranked: (name, probability), the most probable first.
        map: of the first name; None where the tower has no map to weigh.
        no_map: the sentence that then stands in its place.
    """

    ranked: tuple[tuple[str, float], ...]
    map: Map | None
    no_map: str = ""


@dataclass(frozen=True)
class Answers:
    """Both answers to one photograph, and the seconds they took."""

    zero_shot: Answer
    finetuned: Answer
    elapsed_s: float


def open_photograph(content: bytes) -> Image.Image:
    """The upright RGB photograph. Raises: InvalidInput: nothing usable is in the bytes."""
    rules = ImageRules(max_pixels=MOST_PIXELS)
    try:
        return open_upright(content, rules).image
    except UnusableImageError as error:
        raise InvalidInput(_REASONS[error.reason].format(detail=error.detail)) from error


@dataclass(frozen=True)
class Answerer:
    """Both classifiers of a study, their towers in memory."""

    study: FinishedStudy
    _zero_shot: EncoderClassifier = field(init=False, repr=False)
    _finetuned: EncoderClassifier = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_zero_shot", self.study.zero_shot.module())
        object.__setattr__(self, "_finetuned", self.study.finetuned.module())

    def answer(self, photo: Image.Image, names: Sequence[str]) -> Answers:
        """Zero-shot for the names, the fine-tuned classifier for its own classes."""
        start = time.perf_counter()
        head = self.study.vocabulary.head(names)
        zero_shot = replace(self.study.zero_shot, classes=tuple(names), head=head)
        said = (
            self._ask(photo, zero_shot, self._zero_shot.with_head(head)),
            self._ask(photo, self.study.finetuned, self._finetuned),
        )
        return Answers(*said, time.perf_counter() - start)

    def _ask(self, photo: Image.Image, predictor: Predictor, module: EncoderClassifier) -> Answer:
        probabilities = predictor.predict_proba(predictor.features([photo], module=module))[0]
        order = np.argsort(-probabilities, kind="stable")
        ranked = tuple((predictor.classes[k], float(probabilities[k])) for k in order)
        try:
            return Answer(ranked, draw_map(predictor, module, photo, ranked[0], self.study.layer))
        except UserFacingError as error:
            return Answer(ranked, None, f"There is no map: {error.what}.")


def draw_map(
    predictor: Predictor,
    module: EncoderClassifier,
    photo: Image.Image,
    answer: tuple[str, float],
    layer: str,
) -> Map:
    """The class activation map of an answer; all that this page knows of `explain`.

    Raises: UserFacingError: the tower has no such layer, or the score cannot be explained.
    """
    from sports_clip_pipeline.explain.explainer import Explainer, Prediction

    name, probability = answer
    explainer = Explainer.of_predictor(predictor, layer, MAP_PX, MAP_QUALITY, module)
    said = Prediction("the photograph", label=name, predicted=name, probability=probability)
    card = explainer.explain(photo, said, name)
    return Map(name, card.method, card.map_jpeg)


MOST_NAMES = 50
LONGEST_NAME = 80


class InvalidInput(Exception):
    """What was asked cannot be answered; the message is the sentence that the page shows."""


def parse_names(text: str) -> tuple[str, ...]:
    """The names between commas, semicolons and line breaks, each once, in order.

    >>> parse_names("tennis, a dog; Tennis,  chess ")
    ('tennis', 'a dog', 'chess')

    Raises: InvalidInput: fewer than two names, more than 50, or one longer than 80 characters.
    """
    found = (" ".join(part.split()) for part in re.split(r"[,;\n]", text))
    first: dict[str, str] = {}
    for name in found:
        if name:
            first.setdefault(name.casefold(), name)
    names = tuple(first.values())
    if len(names) < 2:
        raise InvalidInput("Type at least two class names: one alone would always get 100 %.")
    if len(names) > MOST_NAMES:
        raise InvalidInput(
            f"There are {len(names)} class names; this page compares up to {MOST_NAMES}."
        )
    long = next((name for name in names if len(name) > LONGEST_NAME), None)
    if long is not None:
        raise InvalidInput(
            f"“{long[:20]}…” has {len(long)} characters; a name has up to {LONGEST_NAME}."
        )
    return names
