import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sports_clip_pipeline.data.class_bank import ClassBank, class_bank_yaml
from sports_clip_pipeline.data.class_bank import main as command
from sports_clip_pipeline.data.splits import labels_for_fraction, make_splits
from sports_clip_pipeline.errors import UserFacingError
from tests.data.factories import unpacked, zipped

CONF = Path(__file__).resolve().parents[2] / "conf"
TENNIS = {
    "label": "tennis",
    "names": ["tennis", "a tennis match"],
    "sentences": ["A man swings a racket."],
}


def bank(**changes: object) -> ClassBank:
    block = {"templates": ["a photo of {}."], "classes": [TENNIS, {"label": "go", "names": "go"}]}
    return ClassBank(**{**block, **changes})


def main(arguments: list[str]) -> object:
    """The exit status of the command."""
    with pytest.raises(SystemExit) as ended:
        command(arguments)
    return ended.value.code


def read_bank(path: Path) -> ClassBank:
    return ClassBank(**yaml.safe_load(path.read_text("utf-8"))["class_bank"])


def test_prompts_are_templates_times_names_then_sentences() -> None:
    two = bank(templates=["a photo of {}.", "{} outside."])
    assert two.prompts("tennis") == (
        "a photo of tennis.",
        "a photo of a tennis match.",
        "tennis outside.",
        "a tennis match outside.",
        "A man swings a racket.",
    )
    assert bank().prompts("go") == ("a photo of go.",)
    assert bank().labels == ("tennis", "go")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"templates": ["a photo."]}, "'a photo.'"),
        ({"templates": ["{} and {}"]}, "'{} and {}'"),
        ({"templates": ["a {sport}"]}, "'a {sport}'"),
        ({"templates": []}, "class_bank.templates"),
        ({"templates": ["{}", "{}"]}, "class_bank.templates"),
        ({"classes": []}, "class_bank.classes"),
        ({"classes": ["tennis"]}, "'tennis'"),
        ({"classes": [{"label": "tennis", "names": []}]}, "class_bank.classes.0.names"),
        ({"classes": [{"label": "tennis", "sentences": ["x"]}]}, "class_bank.classes.0.names"),
        ({"classes": [{"label": "a", "names": ["a"], "prompts": ["b"]}]}, "prompts"),
        ({"classes": [{"label": "tennis", "names": ["a", " "]}]}, "class_bank.classes.0.names"),
        ({"classes": [{**TENNIS, "label": 1}]}, "quotes), got 1"),
        ({"classes": [{**TENNIS, "label": True}]}, "quotes), got True"),
        ({"classes": [{**TENNIS, "label": "tennis "}]}, "'tennis '"),
        (
            {"classes": [{"label": "Tennis", "names": "a"}, {"label": "tennis", "names": "b"}]},
            "'tennis'",
        ),
        (
            {"classes": [{"label": "a", "names": "Ball"}, {"label": "b", "names": "ball"}]},
            "names of its own for b",
        ),
    ],
)
def test_invalid_block_names_field_and_value(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserFacingError) as refused:
        bank(**changes)
    assert "class_bank" in str(refused.value)
    assert message in str(refused.value)


def test_a_study_of_one_class_is_refused() -> None:
    with pytest.raises(UserFacingError, match=r"two classes or more, got \['tennis'\]"):
        bank(classes=[TENNIS]).require_two()


def test_committed_banks_describe_all_sports_and_the_sample_uses_the_same_classes() -> None:
    sample, real = (read_bank(CONF / env / "parameters_class_bank.yml") for env in ("base", "real"))
    assert len(real.labels) == 22
    assert list(real.labels) == sorted(real.labels)
    assert all(6 <= len(real[label].sentences) <= 10 for label in real.labels)
    assert set(sample.labels) < set(real.labels)
    assert sample.templates == real.templates
    assert set(sample.classes) <= set(real.classes)


FOLDERS = {
    **{f"bald_eagle/{k}.jpg": b"" for k in range(10)},
    **{f"Würger – neu/{k}.jpg": b"" for k in range(5)},
    **{f"no/{k}.jpg": b"" for k in range(6)},
    "unlabelled/1.jpg": b"",
}


def test_command_reads_class_folders(tmp_path: Path, capsys) -> None:
    unpacked(tmp_path / "images", {**FOLDERS, "species.csv": b"file,kind"})
    out = tmp_path / "conf" / "parameters_class_bank.yml"
    assert main([str(tmp_path / "images"), str(out)]) == 0
    written = read_bank(out)
    assert written.labels == ("Würger – neu", "bald_eagle", "no")
    assert written.prompts("bald_eagle") == (
        "a photo of bald eagle.",
        "This picture shows bald eagle.",
    )
    output = capsys.readouterr().out
    assert "3 classes, 21 images with a label, 1 without" in output
    assert "Würger – neu, leaves about 4" in output  # one of 5 is for testing
    assert "least label fraction is about 0.25; suitable fractions: [0.25, 0.5, 1]" in output
    assert "Not read: species.csv; a list is named in ingest.labelled.labels_file." in output


def test_command_reads_a_list_in_a_zip(tmp_path: Path) -> None:
    rows = [f"{k}.jpg,{'a' if k < 3 else 'b'}" for k in range(6)]
    table = "\n".join(["file,kind", *rows])
    zipped(tmp_path / "p", {"t.csv": table.encode(), **{f"{k}.jpg": b"" for k in range(6)}})
    fields = {"labels_file": "t.csv", "image_column": "file", "label_column": "kind"}
    ingest = tmp_path / "parameters_ingest.yml"
    ingest.write_text(yaml.safe_dump({"ingest": {"labelled": fields}}))
    assert main([str(tmp_path / "p.zip"), str(tmp_path / "bank.yml")]) == 0
    assert read_bank(tmp_path / "bank.yml").labels == ("a", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ingest: {label_colum: kind}", "label_colum"),
        ("finetune: {}", "'ingest'"),
        ("a: b: c", "mapping values"),
        ("ingest: {labelled: {form: tree}}", "one of auto, csv, folders, kaggle"),
    ],
)
def test_invalid_ingest_settings_are_refused(tmp_path, text: str, message: str, capsys) -> None:
    unpacked(tmp_path / "images", FOLDERS)
    (tmp_path / "parameters_ingest.yml").write_text(text)
    assert main([str(tmp_path / "images"), str(tmp_path / "bank.yml")]) == 1
    output = capsys.readouterr().err
    assert message in output and output.count("\n") == 1


def test_command_overwrites_a_file_only_with_replace(tmp_path: Path, capsys) -> None:
    unpacked(tmp_path / "images", FOLDERS)
    out = tmp_path / "bank.yml"
    out.write_text("mine")
    assert main([str(tmp_path / "images"), str(out)]) == 1
    error = capsys.readouterr().err
    assert error == f"Error: {out}: already exists; add --replace to overwrite it\n"
    assert out.read_text() == "mine"
    assert main([str(tmp_path / "images"), str(out), "--replace"]) == 0
    assert len(read_bank(out).labels) == 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/1.jpg", "a/2.jpg"], "holds 0 classes, and a study wants two or more"),
        (["a/1.jpg", "a/2.jpg", "b/1.jpg"], "the class b: has 1 image"),
        (["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"], "leaves one of its 2 images"),
        (["a_b/1.jpg", "a_b/2.jpg", "a b/1.jpg", "a b/2.jpg"], "names of its own"),
        ([], "there is no such file"),
    ],
)
def test_command_writes_nothing_for_an_unsuitable_corpus(
    tmp_path: Path, names: list[str], message: str, capsys
) -> None:
    if names:
        unpacked(tmp_path / "p", dict.fromkeys(names, b""))
    assert main([str(tmp_path / "p"), str(tmp_path / "bank.yml")]) == 1
    output = capsys.readouterr().err
    assert message in output and output.count("\n") == 1
    assert not (tmp_path / "bank.yml").exists()


def test_labels_that_yaml_would_convert_stay_text() -> None:
    labels = ("2020", "no", 'a "b": c', "#x", "é, [y]")
    assert ClassBank(**yaml.safe_load(class_bank_yaml(labels))["class_bank"]).labels == labels


@pytest.mark.parametrize(("small", "big"), [(2, 200), (7, 9), (12, 12), (3, 3), (50, 61)])
def test_the_least_fraction_of_the_command_is_the_least_that_the_splits_accept(
    small: int, big: int, tmp_path: Path, capsys
) -> None:
    files = {f"{label}/{k}.jpg": b"" for label, n in (("s", small), ("b", big)) for k in range(n)}
    unpacked(tmp_path / "images", files)
    assert main([str(tmp_path / "images"), str(tmp_path / "bank.yml")]) == 0
    found = re.search(r"least label fraction is about ([\d.]+);", capsys.readouterr().out)
    assert found is not None
    least = float(found[1])
    labels = [name.partition("/")[0] for name in files]
    manifest = pd.DataFrame(
        {"image": list(files), "label": labels, "split": "train", "group": range(len(files))}
    )
    splits = make_splits(manifest, ["b", "s"], 0.2)
    counts = splits["label"].iloc[labels_for_fraction(splits, least, 0)].value_counts()
    assert counts.min() >= 1 and counts.max() >= 2
    if least > 0.01:
        with pytest.raises(UserFacingError, match=f"use {least} or more"):
            labels_for_fraction(splits, least * 0.4, 0)
