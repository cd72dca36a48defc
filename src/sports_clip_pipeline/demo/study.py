"""What the page needs of a finished study, read through its catalog."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from sports_clip_pipeline.data.classes import ClassBank
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.models.open_vocabulary import OpenVocabulary
from sports_clip_pipeline.models.predictor import Predictor
from sports_clip_pipeline.reporting.labels import class_name

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
    from sports_clip_pipeline.models.clip_folder import read_image_tower, read_preprocessing

    bank = catalog.load("params:class_bank")
    finetuned, clip = catalog.load("predictor"), catalog.load("clip_model")
    audit, head = catalog.load("embed_audit"), catalog.load("zero_shot_head")
    if tuple(finetuned.classes) != bank.labels:
        what = f"its {len(finetuned.classes)} classes are not the {len(bank.labels)} configured"
        remedy = "name the configuration that the study was run with: --env"
        raise UserFacingError(f"predictor of the study {study}", what, remedy)
    zero_shot = Predictor(
        classes=bank.labels,
        tower=audit["image_encoder"],
        preprocessing=read_preprocessing(clip),
        head=head,
        views=tuple(audit["views"]),
        tower_weights=read_image_tower(clip),
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
    from sports_clip_pipeline.models.anchors import text_reader
    from sports_clip_pipeline.models.clip_folder import read_projections, trained_towers
    from sports_clip_pipeline.models.zero_shot_head import named_in

    choice, tokenize = catalog.load("zero_shot_choice"), catalog.load("params:tokenize")
    read = text_reader(text_encoder, tokenize, clip)
    apart = "text" in trained_towers(clip)
    manifest = catalog.load("flickr8k_manifest")
    train = (manifest["split"] == "train").to_numpy()
    return OpenVocabulary(
        bank=bank,
        prompts=catalog.load("params:zero_shot").prompts,
        read=read,
        read_plain=text_reader(text_encoder, tokenize, None) if apart else read,
        projections=read_projections(clip),
        named=named_in(head),
        names_weight=choice["names_weight"],
        hubness_share=choice["hubness_share"],
        background=catalog.load("clip_flickr8k_features")["features"][train],
    )


def _samples(catalog: Any) -> tuple[tuple[Image.Image, str], ...]:
    """Photographs of the evaluation part, one a class in a seeded order."""
    store, manifest = catalog.load("sports_images"), catalog.load("sports_manifest")
    row_of = pd.Series(np.arange(len(manifest)), index=manifest["image"])
    splits = catalog.load("splits")
    judges = splits[splits["split"] == "evaluation"].sort_values("image")
    drawn = judges.sample(frac=1.0, random_state=0).drop_duplicates("label").head(SAMPLES)
    pairs = zip(drawn["image"], drawn["label"], strict=True)
    return tuple((store.get(int(row_of[image])), str(label)) for image, label in pairs)
