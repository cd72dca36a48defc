"""Class folders, a CSV list beside the images, and the Kaggle format."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from sports_clip_pipeline.data.labelled import list_sports
from sports_clip_pipeline.data.listing import Listing
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.ingest.config import LabelledForm
from tests.data.factories import Files, kaggle, unpacked, zipped

LABELS = ("bald eagle", "Würger")
TABLE = "image,label\n2021/a.jpg,bald eagle\n./2021\\b.jpg,Würger\nc.jpg,\n"
IMAGES = {"2021/a.jpg": b"", "2021/b.jpg": b"", "c.jpg": b""}


def listed(place: Path, files: Files, form: LabelledForm | None = None, make=unpacked) -> Listing:
    return list_sports(make(place / "images", files), LABELS, form)


def facts(listing: Listing) -> list[tuple[str, str, str | None]]:
    return [(entry.image, entry.split, entry.label) for entry in listing.entries]


def with_table(text: str, name: str = "labels.csv") -> Files:
    return {**IMAGES, name: text.encode()}


@pytest.mark.parametrize("wrap", ["", "images/"])
@pytest.mark.parametrize("make", [zipped, unpacked])
def test_class_folders_include_subfolders_and_unlabelled_images(
    tmp_path: Path, wrap: str, make
) -> None:
    files = {
        "Würger/1.jpg": b"",
        "Würger/a/b/1.JPG": b"",
        "bald eagle/1.ashx": b"",
        "unlabelled/y.jpg": b"",
        "unlabelled/deep/x.jpg": b"",
    }
    listing = listed(tmp_path, {wrap + name: b"" for name in files}, make=make)
    assert facts(listing) == [
        ("Würger/1.jpg", "train", "Würger"),
        ("Würger/a/b/1.JPG", "train", "Würger"),
        ("bald eagle/1.ashx", "train", "bald eagle"),
        ("unlabelled/deep/x.jpg", "test", None),
        ("unlabelled/y.jpg", "test", None),
    ]
    assert listing.test_order == ("unlabelled/deep/x.jpg", "unlabelled/y.jpg")
    assert not listing.rejected


def test_sidecar_files_are_rejected_unopened(tmp_path: Path) -> None:
    files = {
        "Würger/1.jpg": b"",
        "Würger/1.json": b"{}",
        "Würger/Thumbs.db": b"",
        "Würger/deep/notes": b"",
        "bald eagle/1.jpg": b"",
        "top.jpg": b"",
        "readme.md": b"",
    }
    listing = listed(tmp_path, files)
    assert [entry.image for entry in listing.entries] == ["Würger/1.jpg", "bald eagle/1.jpg"]
    assert [item.image for item in listing.rejected] == [
        "Würger/1.json",
        "Würger/Thumbs.db",
        "Würger/deep/notes",
        "top.jpg",
    ]
    assert {item.reason for item in listing.rejected} == {"not_listed"}


def test_labels_are_compared_in_unicode_normal_form_c(tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", "Würger")
    assert apart != "Würger"
    files = {f"{apart}/1.jpg": b"", "bald eagle/1.jpg": b""}
    assert {entry.label for entry in listed(tmp_path, files, make=zipped).entries} == set(LABELS)
    table = unicodedata.normalize("NFD", "image,label\nä.jpg,Würger\nc.jpg,bald eagle")
    files = {"ä.jpg": b"", "c.jpg": b"", "labels.csv": table.encode()}
    assert [label for *_, label in facts(listed(tmp_path / "csv", files, make=zipped))] == [
        "Würger",
        "bald eagle",
    ]


def test_unlabelled_folder_name_is_configurable(tmp_path: Path) -> None:
    files = {"Würger/1.jpg": b"", "bald eagle/1.jpg": b"", "new ones/1.jpg": b""}
    form = LabelledForm(unlabelled_folder="new ones")
    assert listed(tmp_path, files, form).test_order == ("new ones/1.jpg",)
    with pytest.raises(UserFacingError, match=r"has the label 'new ones'.*class_bank"):
        listed(tmp_path, files)


@pytest.mark.parametrize("wrap", ["", "images/"])
@pytest.mark.parametrize("make", [zipped, unpacked])
def test_csv_list_on_top_is_detected(tmp_path: Path, wrap: str, make) -> None:
    files = {**with_table(TABLE), "unlabelled/d.jpg": b"", "2021/e.jpg": b"", "2021/e.txt": b""}
    listing = listed(tmp_path, {wrap + name: held for name, held in files.items()}, make=make)
    assert facts(listing) == [
        ("2021/a.jpg", "train", "bald eagle"),
        ("2021/b.jpg", "train", "Würger"),
        ("c.jpg", "test", None),
        ("unlabelled/d.jpg", "test", None),
    ]
    assert next(entry.path for entry in listing.entries) == f"{wrap}2021/a.jpg"
    assert listing.test_order == ("c.jpg", "unlabelled/d.jpg")
    assert [(item.image, item.reason) for item in listing.rejected] == [
        ("2021/e.jpg", "not_listed")
    ]


def test_list_in_a_class_folder_is_not_the_csv_format(tmp_path: Path) -> None:
    files = {"Würger/1.jpg": b"", "Würger/labels.csv": b"x", "bald eagle/1.jpg": b""}
    assert len(listed(tmp_path, files).entries) == 2


def test_list_columns_and_images_folder_are_configurable(
    tmp_path: Path,
) -> None:
    table = "species,where,file\nWürger,x,a.jpg\nbald eagle,y,deep/b.jpg\n"
    files = {"img/all/a.jpg": b"", "img/all/deep/b.jpg": b"", "birds.csv": table.encode()}
    form = LabelledForm(
        form="csv", labels_file="birds.csv", image_column="file", label_column="species",
        images_folder="img/all",
    )  # fmt: skip
    assert facts(listed(tmp_path, files, form)) == [
        ("a.jpg", "train", "Würger"),
        ("deep/b.jpg", "train", "bald eagle"),
    ]


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    table = "image,label\nunlabelled/a.jpg,Würger\nb.jpg,bald eagle\n"
    files = {
        "img/unlabelled/a.jpg": b"",
        "img/b.jpg": b"",
        "unlabelled/a.jpg": b"",
        "labels.csv": table.encode(),
    }
    with pytest.raises(UserFacingError, match=r"unlabelled/a\.jpg: has the name of another image"):
        listed(tmp_path, files, LabelledForm(images_folder="img"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'image', its first line holds: nothing; name yours in ingest.labelled.im"),
        ("file,label\nc.jpg,Würger\n", "no column 'image', its first line holds: file, label; nam"),
        ("image;label\nc.jpg;Würger\n", "first line holds: image;label; save it with commas"),
        ("image,label\nc.jpg\n", "line 2 has 1 fields where 2 are needed"),
        ("image,label\nc.jpg,Elster\n", "line 2: has the label 'Elster', which is none of the 2"),
        ("image,label\nc.jpg,WÜRGER\n", "line 2: has the label 'WÜRGER'"),
        ("image,label\nd.jpg,Würger\n", r"line 2: names the image d\.jpg, which is not there"),
        ("image,label\n../c.jpg,Würger\n", "line 2: names the image '../c.jpg', which is no path"),
        ("image,label\n/etc/passwd,Würger\n", "line 2: .*no path below"),
        ("image,label\nC:\\c.jpg,Würger\n", "line 2: .*no path below"),
        ("image,label\n2021/../../c.jpg,Würger\n", "line 2: .*no path below"),
        ("image,label\n.,Würger\n", "line 2: .*no path below"),
        ("image,label\n,Würger\n", "line 2: names the image ''"),
        ("image,label\nc.jpg,Würger\n./c.jpg,\n", r"line 3: names the image c\.jpg again"),
        ("image,label\nc.jpg,Würger\n", "no image of the class bald eagle"),
    ],
)
def test_malformed_csv_list_is_one_line_with_the_path(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UserFacingError, match=message) as refused:
        listed(tmp_path, with_table(text))
    assert "\n" not in str(refused.value)
    assert str(tmp_path / "images") in str(refused.value)


def test_list_in_another_encoding_is_refused(tmp_path: Path) -> None:
    files = {**IMAGES, "labels.csv": "image,label\nc.jpg,Würger\n".encode("latin-1")}
    with pytest.raises(
        UserFacingError, match=r"labels\.csv: is not UTF-8 text .*; save it as UTF-8"
    ):
        listed(tmp_path, files)


def test_configured_list_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(
        UserFacingError, match=r"birds\.csv: is missing; put a CSV with the columns"
    ):
        listed(tmp_path, IMAGES, LabelledForm(form="csv", labels_file="birds.csv"))


SPORTS = ("chess", "tennis")


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
def test_kaggle_format_is_read(tmp_path: Path, make, form, wrap: str) -> None:
    files = {wrap + n: v for n, v in form(kaggle({"chess": 2, "tennis": 1}, tests=3)).items()}
    listing = list_sports(make(tmp_path / "s", files), SPORTS)
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


def test_name_in_both_splits_gets_a_prefix(tmp_path: Path) -> None:
    files = kaggle({"chess": 1, "tennis": 1}, tests=0)
    files["test/test/1000.jpg"] = files["train/train/1000.jpg"]
    files["test_images_list.csv"] = b"image\n1000.jpg"
    names = [entry.image for entry in list_sports(zipped(tmp_path / "s", files), SPORTS).entries]
    assert names == ["train/1000.jpg", "1001.jpg", "1000.jpg"]


def test_unlisted_images_are_rejected(tmp_path: Path) -> None:
    files = {
        **kaggle({"chess": 1, "tennis": 1}, 1),
        "train/train/x.jpg": b"",
        "test/test/y.png": b"",
    }
    rejected = list_sports(zipped(tmp_path / "s", files), SPORTS).rejected
    assert [(item.image, item.reason) for item in rejected] == [
        ("x.jpg", "not_listed"),
        ("y.png", "not_listed"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
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
def test_malformed_kaggle_list_is_refused(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    files = {**kaggle({"chess": 1, "tennis": 1}, 1), name: content.encode()}
    with pytest.raises(UserFacingError, match=message):
        list_sports(zipped(tmp_path / "s", files), SPORTS)


def test_missing_kaggle_list_is_named(tmp_path: Path) -> None:
    files = kaggle({"chess": 1, "tennis": 1}, 1)
    del files["test_images_list.csv"]
    with pytest.raises(UserFacingError, match=r"test_images_list\.csv: is missing"):
        list_sports(zipped(tmp_path / "s", files), SPORTS)


@pytest.mark.parametrize("wrap", ["", "my_sports/"])
def test_files_in_class_folders_are_images_whatever_their_extension(
    tmp_path: Path, wrap: str
) -> None:
    files = {"chess/1.jpg": b"", "tennis/1.jpg": b"", "tennis/page.html": b"", "chess/x.jpg/y": b""}
    listing = list_sports(zipped(tmp_path / "s", {wrap + n: v for n, v in files.items()}), SPORTS)
    assert [(entry.image, entry.label) for entry in listing.entries] == [
        ("chess/1.jpg", "chess"),
        ("tennis/1.jpg", "tennis"),
        ("tennis/page.html", "tennis"),
    ]
    assert [(item.path, item.reason) for item in listing.rejected] == [
        (f"{wrap}chess/x.jpg/y", "not_listed")
    ]
    assert listing.test_order == ()


def test_single_class_folder_is_not_a_wrapping_folder(tmp_path: Path) -> None:
    listing = list_sports(zipped(tmp_path / "s", {"chess/1.jpg": b""}), ("chess",))
    assert [entry.label for entry in listing.entries] == ["chess"]


def test_unknown_class_folder_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "s", {"chess/1.jpg": b"", "darts/1.jpg": b""})
    with pytest.raises(UserFacingError, match=r"s\.zip:darts/1\.jpg: has the label 'darts'"):
        list_sports(archive, SPORTS)


def test_format_can_be_set(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "s", {"chess/1.jpg": b"", "tennis/1.jpg": b""})
    with pytest.raises(UserFacingError, match=r"test_images_list\.csv: is missing"):
        list_sports(archive, SPORTS, LabelledForm(form="kaggle"))
