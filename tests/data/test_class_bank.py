"""The command that writes the class bank of somebody's own images."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sports_clip_pipeline.data.class_bank import class_bank_yaml, main
from sports_clip_pipeline.data.classes import ClassBank
from sports_clip_pipeline.data.splits import labels_for_fraction, make_splits
from sports_clip_pipeline.errors import UserFacingError
from tests.data.factories import unpacked, zipped

FOLDERS = {
    **{f"bald_eagle/{k}.jpg": b"" for k in range(10)},
    **{f"Würger – neu/{k}.jpg": b"" for k in range(5)},
    **{f"no/{k}.jpg": b"" for k in range(6)},
    "unlabelled/1.jpg": b"",
}


def written(path: Path) -> ClassBank:
    return ClassBank(**yaml.safe_load(path.read_text("utf-8"))["class_bank"])


def test_classes_come_from_folders_with_underscores_as_blanks(tmp_path: Path, capsys) -> None:
    unpacked(tmp_path / "photographs", FOLDERS)
    out = tmp_path / "conf" / "parameters_class_bank.yml"
    assert main([str(tmp_path / "photographs"), str(out)]) == 0
    bank = written(out)
    assert bank.labels == ("Würger – neu", "bald_eagle", "no")
    assert bank.prompts("bald_eagle") == (
        "a photo of bald eagle.",
        "This picture shows bald eagle.",
    )
    told = capsys.readouterr().out
    assert "3 classes, 21 images with a label, 1 without" in told
    # 5 images: one judges, four are for development.
    assert "Würger – neu, leaves about 4" in told
    assert "least label fraction is about 0.25; fractions: [0.25, 0.5, 1] suit it" in told


def test_classes_come_from_a_list_in_a_zip(tmp_path: Path) -> None:
    rows = [f"{k}.jpg,{'a' if k < 3 else 'b'}" for k in range(6)]
    table = "\n".join(["file,kind", *rows])
    zipped(tmp_path / "p", {"t.csv": table.encode(), **{f"{k}.jpg": b"" for k in range(6)}})
    fields = {"labels_file": "t.csv", "image_column": "file", "label_column": "kind"}
    ingest = tmp_path / "parameters_ingest.yml"
    ingest.write_text(yaml.safe_dump({"ingest": {"labelled": fields}}))
    assert main([str(tmp_path / "p.zip"), str(tmp_path / "bank.yml")]) == 0
    assert written(tmp_path / "bank.yml").labels == ("a", "b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ingest: {label_colum: kind}", "label_colum"),
        ("finetune: {}", "'ingest'"),
        ("a: b: c", "mapping values"),
        ("ingest: {labelled: {form: tree}}", "one of auto, csv, folders, kaggle"),
    ],
)
def test_settings_of_ingest_that_are_none_are_refused(
    tmp_path: Path, text: str, said: str, capsys
) -> None:
    unpacked(tmp_path / "photographs", FOLDERS)
    (tmp_path / "parameters_ingest.yml").write_text(text)
    assert main([str(tmp_path / "photographs"), str(tmp_path / "bank.yml")]) == 1
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


@pytest.mark.parametrize("wrap", ["", "pictures/"])
def test_a_list_that_nobody_named_is_pointed_at(tmp_path: Path, wrap: str, capsys) -> None:
    files = {wrap + name: content for name, content in FOLDERS.items()}
    unpacked(tmp_path / "photographs", {**files, "species.csv": b"file,kind"})
    assert main([str(tmp_path / "photographs"), str(tmp_path / "bank.yml")]) == 0
    told = capsys.readouterr().out
    assert "Not read: species.csv; a list is named in ingest.labelled.labels_file." in told


def test_a_class_bank_that_is_there_is_kept_unless_asked(tmp_path: Path, capsys) -> None:
    unpacked(tmp_path / "photographs", FOLDERS)
    out = tmp_path / "bank.yml"
    out.write_text("mine")
    assert main([str(tmp_path / "photographs"), str(out)]) == 1
    assert (
        capsys.readouterr().err == f"Error: {out}: stands there already; add --replace to lose it\n"
    )
    assert out.read_text() == "mine"
    assert main([str(tmp_path / "photographs"), str(out), "--replace"]) == 0
    assert len(written(out).labels) == 3


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a/1.jpg", "a/2.jpg"], "holds 0 classes, and a study wants two or more"),
        (["a/1.jpg", "a/2.jpg", "b/1.jpg"], "the class b: has 1 image"),
        (["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"], "leaves one of its 2 images"),
        (["a_b/1.jpg", "a_b/2.jpg", "a b/1.jpg", "a b/2.jpg"], "names of its own"),
        ([], "there is no such file"),
    ],
)
def test_what_can_be_no_study_is_told_and_nothing_is_written(
    tmp_path: Path, names: list[str], said: str, capsys
) -> None:
    if names:
        unpacked(tmp_path / "p", dict.fromkeys(names, b""))
    assert main([str(tmp_path / "p"), str(tmp_path / "bank.yml")]) == 1
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not (tmp_path / "bank.yml").exists()


def test_labels_that_yaml_would_take_for_something_else_stay_text() -> None:
    labels = ["2020", "no", 'a "b": c', "#x", "é, [y]"]
    assert ClassBank(**yaml.safe_load(class_bank_yaml(labels))["class_bank"]).labels == tuple(
        labels
    )


@pytest.mark.parametrize(("small", "big"), [(2, 200), (7, 9), (12, 12), (3, 3), (50, 61)])
def test_the_least_fraction_that_is_told_is_the_one_that_the_splits_accept(
    small: int, big: int, tmp_path: Path, capsys
) -> None:
    files = {f"{label}/{k}.jpg": b"" for label, n in (("s", small), ("b", big)) for k in range(n)}
    unpacked(tmp_path / "photographs", files)
    assert main([str(tmp_path / "photographs"), str(tmp_path / "bank.yml")]) == 0
    said = re.search(r"least label fraction is about ([\d.]+);", capsys.readouterr().out)
    assert said is not None
    least = float(said[1])
    labels = [name.partition("/")[0] for name in files]
    manifest = pd.DataFrame(
        {"image": list(files), "label": labels, "split": "train", "group": range(len(files))}
    )
    splits = make_splits(manifest, ["b", "s"], 0.2)
    bought = splits["label"].iloc[labels_for_fraction(splits, least, 0)].value_counts()
    assert bought.min() >= 1 and bought.max() >= 2
    if least > 0.01:
        with pytest.raises(UserFacingError, match=f"use {least} or more"):
            labels_for_fraction(splits, least * 0.4, 0)
