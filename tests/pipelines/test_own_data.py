"""A user's own class folders, from the images to the report, without a test set."""

import io
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sports_clip_pipeline import load_predictor
from sports_clip_sample import write_sample
from tests.conftest import Kedro, command, copy_project, error_line
from tests.encoders.factories import ARCHITECTURE, write_image_encoder, write_text_encoder

FOLDERS = {"chess": "Échecs – le jeu", "swimming": "st. swimming", "tennis": "tennis"}
BANK = ("data/01_raw/own/images", "conf/own/parameters_class_bank.yml")


def write_class_folders(raw: Path, sample: Path) -> None:
    """Write the sample's images of three classes as folders, its captions under another name."""
    with zipfile.ZipFile(sample / "sports.zip") as archive:
        table = pd.read_csv(io.BytesIO(archive.read("train_labels.csv")), dtype=str)
        for number, (image, label) in enumerate(table.itertuples(index=False)):
            if label in FOLDERS:
                subfolder = "deeper" if number % 2 else "."
                path = raw / "images" / FOLDERS[label] / subfolder / image
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(f"train/train/{image}"))
    (sample / "flickr8k.zip").rename(raw / "captions.zip")


@pytest.fixture(scope="module")
def own_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with images, captions and tiny encoders, without a class bank."""
    project = copy_project(tmp_path_factory.mktemp("own") / "project")
    sample, raw = project / "drawn", project / "data/01_raw/own"
    write_sample(sample, 100, 0)
    write_class_folders(raw, sample)
    path = project / "conf/own/globals.yml"
    path.write_text(path.read_text().replace("captioned: flickr8k", "captioned: captions"))
    image = write_image_encoder(project / "resnet.safetensors")
    (project / "distilbert").mkdir()
    text = f"hf/{write_text_encoder(project / 'distilbert')}"
    parameters = {
        "ingest": {"max_quarantine_share": 0.2},  # the sample has flawed files
        "embed": {
            "image_encoder": f"timm/{ARCHITECTURE}@{image}", "text_encoder": text,
            "image_size": 64, "backend": "torch",
        },
        "tokenize": {"text_encoder": text, "context_length": 24},
        "pretrain": {"epochs": 1},
        "finetune": {
            "fractions": [0.5, 1.0], "seeds": 1, "select": ["logreg", "logreg_clip_text_init"],
        },
        "cam": {"right": 1, "wrong": 1, "guided": False},
    }  # fmt: skip
    run = {"run": {"env": "own", "params": parameters}}
    (project / "tiny.yml").write_text(yaml.safe_dump(run))
    return project


def test_without_a_class_bank_the_error_names_the_command_that_writes_it(
    own_images: Path, kedro: Kedro
) -> None:
    line = error_line(kedro(own_images, "run", "--pipelines=ingest", "--config=tiny.yml"))
    assert "which is none of the 8 classes" in line
    assert "sports_clip_pipeline.data.class_bank" in line


@pytest.mark.slow
def test_class_folders_become_a_report_without_test_images(own_images: Path, kedro: Kedro) -> None:
    done = command(own_images, "sports_clip_pipeline.data.class_bank", *BANK)
    assert done.returncode == 0, done.stderr
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
