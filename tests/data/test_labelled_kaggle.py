from __future__ import annotations

from pathlib import Path

import pytest

from sports_clip_pipeline.data.labelled import list_sports
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.ingest.config import LabelledForm
from tests.data.factories import kaggle, unpacked, zipped

LABELS = ("chess", "tennis")


def flat(files: dict[str, bytes]) -> dict[str, bytes]:
    """`train/train/` and `test/test/` as `train/` and `test/`."""
    pairs = (("train/train/", "train/"), ("test/test/", "test/"))
    return {
        next((new + name.removeprefix(old) for old, new in pairs if name.startswith(old)), name): v
        for name, v in files.items()
    }


@pytest.mark.parametrize("make", [zipped, unpacked])
@pytest.mark.parametrize("form", [lambda files: files, flat])
@pytest.mark.parametrize("wrap", ["", "competition/"])
def test_the_kaggle_form_is_read(tmp_path: Path, make, form, wrap: str) -> None:
    files = {wrap + n: v for n, v in form(kaggle({"chess": 2, "tennis": 1}, tests=3)).items()}
    listing = list_sports(make(tmp_path / "s", files), LABELS)
    facts = [(entry.image, entry.split, entry.label) for entry in listing.entries]
    assert facts == [
        ("1000.jpg", "train", "chess"),
        ("1001.jpg", "train", "chess"),
        ("1002.jpg", "train", "tennis"),
        ("1005.jpg", "test", None),
        ("1004.jpg", "test", None),
        ("1003.jpg", "test", None),
    ]
    assert listing.test_order == ("1005.jpg", "1004.jpg", "1003.jpg")


def test_a_name_in_both_parts_is_told_apart(tmp_path: Path) -> None:
    files = kaggle({"chess": 1, "tennis": 1}, tests=0)
    files["test/test/1000.jpg"] = files["train/train/1000.jpg"]
    files["test_images_list.csv"] = b"image\n1000.jpg"
    names = [entry.image for entry in list_sports(zipped(tmp_path / "s", files), LABELS).entries]
    assert names == ["train/1000.jpg", "1001.jpg", "1000.jpg"]


def test_unlisted_images_are_set_aside(tmp_path: Path) -> None:
    files = {
        **kaggle({"chess": 1, "tennis": 1}, 1),
        "train/train/x.jpg": b"",
        "test/test/y.png": b"",
    }
    rejected = list_sports(zipped(tmp_path / "s", files), LABELS).rejected
    assert [(item.image, item.reason) for item in rejected] == [
        ("x.jpg", "not_listed"),
        ("y.png", "not_listed"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("train_labels.csv", "image,sport\n", "no column 'sports'"),
        ("train_labels.csv", "image,sports\n1000.jpg,darts\n", "line 2: has the label 'darts'"),
        ("train_labels.csv", "image,sports\n7.jpg,chess\n", "line 2: names the image 7.jpg, which"),
        ("train_labels.csv", "image,sports\n../../x.jpg,chess\n", "line 2: .*climbs out"),
        ("train_labels.csv", "image,sports\n/etc/passwd,chess\n", "line 2: .*climbs out"),
        ("train_labels.csv", "image,sports\n1000.jpg,chess\n", "no image of the class tennis"),
        ("train_labels.csv", "image,sports\n1000.jpg,chess\n1000.jpg,tennis\n", "line 3: .*again"),
        ("test_images_list.csv", "picture\n1002.jpg\n", "no column 'image'"),
        ("test_images_list.csv", "image\n7.jpg\n", "names the image 7.jpg, which is not there"),
    ],
)
def test_a_malformed_list_is_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    files = {**kaggle({"chess": 1, "tennis": 1}, 1), name: content.encode()}
    with pytest.raises(UserFacingError, match=said):
        list_sports(zipped(tmp_path / "s", files), LABELS)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    files = kaggle({"chess": 1, "tennis": 1}, 1)
    del files["test_images_list.csv"]
    with pytest.raises(UserFacingError, match=r"test_images_list\.csv: is missing"):
        list_sports(zipped(tmp_path / "s", files), LABELS)


@pytest.mark.parametrize("wrap", ["", "my_sports/"])
def test_any_class_per_folder_tree_is_a_labelled_corpus(tmp_path: Path, wrap: str) -> None:
    files = {"chess/1.jpg": b"", "tennis/1.jpg": b"", "tennis/page.html": b"", "chess/x.jpg/y": b""}
    listing = list_sports(zipped(tmp_path / "s", {wrap + n: v for n, v in files.items()}), LABELS)
    assert [(entry.image, entry.label) for entry in listing.entries] == [
        ("chess/1.jpg", "chess"),
        ("tennis/1.jpg", "tennis"),
        ("tennis/page.html", "tennis"),
    ]
    assert [(item.path, item.reason) for item in listing.rejected] == [
        (f"{wrap}chess/x.jpg/y", "not_listed")
    ]
    assert listing.test_order == ()


def test_a_study_of_one_class_folder_is_not_taken_for_a_wrapper(tmp_path: Path) -> None:
    listing = list_sports(zipped(tmp_path / "s", {"chess/1.jpg": b""}), ("chess",))
    assert [entry.label for entry in listing.entries] == ["chess"]


def test_a_folder_that_no_class_lists_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "s", {"chess/1.jpg": b"", "darts/1.jpg": b""})
    with pytest.raises(UserFacingError, match=r"s\.zip:darts/1\.jpg: has the label 'darts'"):
        list_sports(archive, LABELS)


def test_the_form_can_be_forced(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "s", {"chess/1.jpg": b"", "tennis/1.jpg": b""})
    with pytest.raises(UserFacingError, match=r"test_images_list\.csv: is missing"):
        list_sports(archive, LABELS, LabelledForm(form="kaggle"))
