"""Images of one's own, from the folder to the report, without a test set."""

from __future__ import annotations

import io
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sports_clip_pipeline import load_predictor
from sports_clip_sample import write_sample
from tests.conftest import command, copy_project, refusal
from tests.encoders.factories import ARCHITECTURE, write_image_encoder, write_text_encoder

FOLDERS = {"chess": "Échecs – le jeu", "swimming": "st. swimming", "tennis": "tennis"}
BANK = ("data/01_raw/own/images", "conf/own/parameters_class_bank.yml")

Kedro = Callable[..., "subprocess.CompletedProcess[str]"]


def lay_out(raw: Path, sample: Path) -> None:
    """The sample's images of three classes as folders, its captions under another name."""
    with zipfile.ZipFile(sample / "sports.zip") as archive:
        table = pd.read_csv(io.BytesIO(archive.read("train_labels.csv")), dtype=str)
        for number, (image, label) in enumerate(table.itertuples(index=False)):
            if label in FOLDERS:
                deep = "deeper" if number % 2 else "."
                place = raw / "images" / FOLDERS[label] / deep / image
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(archive.read(f"train/train/{image}"))
    (sample / "flickr8k.zip").rename(raw / "captions.zip")


@pytest.fixture(scope="module")
def own_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with images and captions in place, towers of a few weights, no class bank."""
    project = copy_project(tmp_path_factory.mktemp("own") / "project")
    sample, raw = project / "drawn", project / "data/01_raw/own"
    write_sample(sample, 100, 0)
    lay_out(raw, sample)
    path = project / "conf/own/globals.yml"
    path.write_text(path.read_text().replace("captioned: flickr8k", "captioned: captions"))
    image = write_image_encoder(project / "resnet.safetensors")
    (project / "distilbert").mkdir()
    text = f"hf/{write_text_encoder(project / 'distilbert')}"
    parameters = {
        "ingest": {"max_quarantine_share": 0.2},  # the sample is flawed on purpose
        "embed": {
            "image_encoder": f"timm/{ARCHITECTURE}@{image}",
            "text_encoder": text,
            "image_size": 64,
            "backend": "torch",
        },
        "tokenize": {"text_encoder": text, "context_length": 24},
        "pretrain": {"epochs": 1},
        "finetune": {
            "fractions": [0.5, 1.0],
            "seeds": 1,
            "methods": ["logreg", "logreg_clip_text_init"],
        },
        "cam": {"right": 1, "wrong": 1, "guided": False},
    }
    run = {"run": {"env": "own", "params": parameters}}
    (project / "tiny.yml").write_text(yaml.safe_dump(run))
    return project


def test_without_a_class_bank_the_line_says_what_writes_it(own_images: Path, kedro: Kedro) -> None:
    line = refusal(kedro(own_images, "run", "--pipelines=ingest", "--config=tiny.yml"))
    assert "which is none of the 8 classes" in line
    assert "sports_clip_pipeline.data.class_bank" in line


@pytest.mark.slow
def test_folders_become_a_report_though_nothing_is_to_be_predicted(
    own_images: Path, kedro: Kedro
) -> None:
    wrote = command(own_images, "sports_clip_pipeline.data.class_bank", *BANK)
    assert wrote.returncode == 0, wrote.stderr
    done = kedro(own_images, "run", "--config=tiny.yml")
    assert done.returncode == 0, done.stderr + done.stdout[-3000:]
    data = own_images / "data"
    for name in ("submission.csv", "zero_shot_submission.csv"):
        assert (data / "07_model_output/own" / name).read_text().split() == ["image,sports"]
    splits = pd.read_parquet(data / "05_model_input/own/splits.parquet")
    assert set(splits["split"]) == {"development", "test"}
    assert set(splits["label"]) == set(FOLDERS.values())
    assert splits["image"].str.contains("/deeper/").any()
    predictor = load_predictor(data / "06_models/own/predictor")
    assert predictor.classes == tuple(sorted(FOLDERS.values(), key=str))
    page = (data / "08_reporting/own/report.html").read_text()
    assert "Échecs – le jeu" in page
