"""A folder a class, or a CSV list beside the images."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from sports_clip_pipeline.data.labelled import list_sports
from sports_clip_pipeline.data.listing import Listing
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.ingest.config import LabelledForm
from tests.data.factories import Files, unpacked, zipped

LABELS = ("bald eagle", "Würger")
TABLE = "image,label\n2021/a.jpg,bald eagle\n./2021\\b.jpg,Würger\nc.jpg,\n"
IMAGES = {"2021/a.jpg": b"", "2021/b.jpg": b"", "c.jpg": b""}


def listed(place: Path, files: Files, form: LabelledForm | None = None, make=unpacked) -> Listing:
    return list_sports(make(place / "photographs", files), LABELS, form)


def facts(listing: Listing) -> list[tuple[str, str, str | None]]:
    return [(entry.image, entry.split, entry.label) for entry in listing.entries]


def with_table(text: str, name: str = "labels.csv") -> Files:
    return {**IMAGES, name: text.encode()}


@pytest.mark.parametrize("wrap", ["", "images/"])
@pytest.mark.parametrize("make", [zipped, unpacked])
def test_folders_hold_classes_at_any_depth_and_images_without_a_label(
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


def test_what_devices_put_beside_images_is_set_aside_unopened(tmp_path: Path) -> None:
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


def test_an_accent_in_two_characters_is_the_one_of_the_class_bank(tmp_path: Path) -> None:
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


def test_a_folder_of_images_without_a_label_may_have_another_name(tmp_path: Path) -> None:
    files = {"Würger/1.jpg": b"", "bald eagle/1.jpg": b"", "new ones/1.jpg": b""}
    form = LabelledForm(unlabelled_folder="new ones")
    assert listed(tmp_path, files, form).test_order == ("new ones/1.jpg",)
    with pytest.raises(UserFacingError, match=r"has the label 'new ones'.*class_bank"):
        listed(tmp_path, files)


@pytest.mark.parametrize("wrap", ["", "images/"])
@pytest.mark.parametrize("make", [zipped, unpacked])
def test_a_list_on_top_is_read_without_being_asked_for(tmp_path: Path, wrap: str, make) -> None:
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


def test_a_list_in_a_class_s_folder_makes_no_csv_form(tmp_path: Path) -> None:
    files = {"Würger/1.jpg": b"", "Würger/labels.csv": b"x", "bald eagle/1.jpg": b""}
    assert len(listed(tmp_path, files).entries) == 2


def test_the_list_its_columns_and_its_folder_have_the_names_of_the_configuration(
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
    ("text", "said"),
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
def test_a_malformed_list_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserFacingError, match=said) as refused:
        listed(tmp_path, with_table(text))
    assert "\n" not in str(refused.value)
    assert str(tmp_path / "photographs") in str(refused.value)


def test_a_list_in_another_encoding_is_refused(tmp_path: Path) -> None:
    files = {**IMAGES, "labels.csv": "image,label\nc.jpg,Würger\n".encode("latin-1")}
    with pytest.raises(
        UserFacingError, match=r"labels\.csv: is not UTF-8 text .*; save it as UTF-8"
    ):
        listed(tmp_path, files)


def test_a_list_that_is_asked_for_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(
        UserFacingError, match=r"birds\.csv: is missing; put a CSV with the columns"
    ):
        listed(tmp_path, IMAGES, LabelledForm(form="csv", labels_file="birds.csv"))
