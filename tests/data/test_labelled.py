"""Class folders, a CSV list beside the images, and the Kaggle format."""

import unicodedata
from pathlib import Path

import pytest

from sports_clip_pipeline.data.labelled import list_sports
from sports_clip_pipeline.data.listing import Listing
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.ingest.config import LabelledForm
from tests.data.factories import Files, kaggle, unpacked, zipped

LABELS = ("bald eagle", "Würger")
AUTO = LabelledForm()
TABLE = "image,label\n2021/a.jpg,bald eagle\n./2021\\b.jpg,Würger\nc.jpg,\n"
zip_or_folder = pytest.mark.parametrize("make", [zipped, unpacked])
wrapped_or_not = pytest.mark.parametrize("wrap", ["", "images/"])


def empty(*names: str, **texts: str) -> Files:
    """Empty files, and `name`.csv with a text."""
    tables = {f"{name}.csv": text.encode() for name, text in texts.items()}
    return {**dict.fromkeys(names, b""), **tables}


IMAGES = empty("2021/a.jpg", "2021/b.jpg", "c.jpg")


def listed(
    folder: Path, files: Files, form: LabelledForm = AUTO, make=unpacked, wrap: str = ""
) -> Listing:
    files = {wrap + name: content for name, content in files.items()}
    return list_sports(make(folder / "images", files), LABELS, form)


def facts(listing: Listing) -> list[tuple[str, str, str | None]]:
    return [(entry.image, entry.split, entry.label) for entry in listing.entries]


def order_of_tests(listing: Listing) -> tuple[str, ...]:
    return tuple(entry.image for entry in listing.entries if entry.split == "test")


def rejected(listing: Listing) -> list[str]:
    assert {item.reason for item in listing.rejected} <= {"not_listed"}
    return [item.image for item in listing.rejected]


@wrapped_or_not
@zip_or_folder
def test_class_folders_include_subfolders_and_unlabelled_images(tmp_path, wrap, make) -> None:
    classes = ("Würger/1.jpg", "Würger/a/b/1.JPG", "bald eagle/1.ashx", "bald eagle/page.html")
    files = empty(*classes, "unlabelled/y.jpg", "unlabelled/deep/x.jpg")
    listing = listed(tmp_path, files, make=make, wrap=wrap)
    assert facts(listing) == [
        *((name, "train", name.partition("/")[0]) for name in classes),
        ("unlabelled/deep/x.jpg", "test", None),
        ("unlabelled/y.jpg", "test", None),
    ]
    assert order_of_tests(listing) == ("unlabelled/deep/x.jpg", "unlabelled/y.jpg")
    assert rejected(listing) == []


def test_sidecar_files_are_rejected_unopened(tmp_path: Path) -> None:
    sidecars = ("Würger/1.json", "Würger/Thumbs.db", "Würger/deep/notes", "top.jpg")
    files = empty("Würger/1.jpg", "bald eagle/1.jpg", *sidecars, "readme.md")
    listing = listed(tmp_path, files)
    assert [entry.image for entry in listing.entries] == ["Würger/1.jpg", "bald eagle/1.jpg"]
    assert rejected(listing) == list(sidecars)


def test_labels_are_compared_in_unicode_normal_form_c(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Würger")
    assert decomposed != "Würger"
    files = empty(f"{decomposed}/1.jpg", "bald eagle/1.jpg")
    assert {entry.label for entry in listed(tmp_path, files, make=zipped).entries} == set(LABELS)
    table = unicodedata.normalize("NFD", "image,label\nä.jpg,Würger\nc.jpg,bald eagle")
    listing = listed(tmp_path / "csv", empty("ä.jpg", "c.jpg", labels=table), make=zipped)
    assert [entry.label for entry in listing.entries] == ["Würger", "bald eagle"]


def test_unlabelled_folder_name_is_configurable(tmp_path: Path) -> None:
    files = empty("Würger/1.jpg", "bald eagle/1.jpg", "new ones/1.jpg")
    form = LabelledForm(unlabelled_folder="new ones")
    assert order_of_tests(listed(tmp_path, files, form)) == ("new ones/1.jpg",)
    with pytest.raises(UserFacingError, match=r"has the label 'new ones'.*class_bank"):
        listed(tmp_path, files)


@wrapped_or_not
@zip_or_folder
def test_csv_list_on_top_is_detected(tmp_path: Path, wrap: str, make) -> None:
    files = {**IMAGES, **empty("unlabelled/d.jpg", "2021/e.jpg", "2021/e.txt", labels=TABLE)}
    listing = listed(tmp_path, files, make=make, wrap=wrap)
    assert facts(listing) == [
        ("2021/a.jpg", "train", "bald eagle"),
        ("2021/b.jpg", "train", "Würger"),
        ("c.jpg", "test", None),
        ("unlabelled/d.jpg", "test", None),
    ]
    assert listing.entries[0].path == f"{wrap}2021/a.jpg"
    assert order_of_tests(listing) == ("c.jpg", "unlabelled/d.jpg")
    assert rejected(listing) == ["2021/e.jpg"]


def test_list_in_a_class_folder_is_not_the_csv_format(tmp_path: Path) -> None:
    files = empty("Würger/1.jpg", "Würger/labels.csv", "bald eagle/1.jpg")
    assert len(listed(tmp_path, files).entries) == 2


def test_list_columns_and_images_folder_are_configurable(tmp_path: Path) -> None:
    table = "species,where,file\nWürger,x,a.jpg\nbald eagle,y,deep/b.jpg\n"
    form = LabelledForm(
        form="csv", labels_file="birds.csv", image_column="file", label_column="species",
        images_folder="img/all",
    )  # fmt: skip
    files = empty("img/all/a.jpg", "img/all/deep/b.jpg", birds=table)
    assert facts(listed(tmp_path, files, form)) == [
        ("a.jpg", "train", "Würger"),
        ("deep/b.jpg", "train", "bald eagle"),
    ]
    with pytest.raises(UserFacingError, match=r"birds\.csv: is missing; put a CSV with the col"):
        listed(tmp_path / "other", IMAGES, form)


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    table = "image,label\nunlabelled/a.jpg,Würger\nb.jpg,bald eagle\n"
    files = empty("img/unlabelled/a.jpg", "img/b.jpg", "unlabelled/a.jpg", labels=table)
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
        ("image,label\nc.jpg,W\udcfcrger\n", "is not UTF-8 text .*; save it as UTF-8"),
    ],
)
def test_malformed_csv_list_is_one_line_with_the_path(tmp_path, text, message) -> None:
    files = {**IMAGES, "labels.csv": text.encode(errors="surrogateescape")}
    with pytest.raises(UserFacingError, match=message) as refused:
        listed(tmp_path, files)
    assert "\n" not in str(refused.value)
    assert str(tmp_path / "images") in str(refused.value)


SPORTS = ("chess", "tennis")
ONE_EACH = kaggle({"chess": 1, "tennis": 1}, 1)


@zip_or_folder
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("wrap", ["", "competition/"])
def test_kaggle_format_is_read(tmp_path: Path, make, flat: bool, wrap: str) -> None:
    files = {wrap + n: v for n, v in kaggle({"chess": 2, "tennis": 1}, tests=3).items()}
    if flat:
        files = {n.replace("train/train", "train").replace("test/test", "test"): v
                 for n, v in files.items()}  # fmt: skip
    listing = list_sports(make(tmp_path / "s", files), SPORTS, AUTO)
    assert facts(listing) == [
        ("1000.jpg", "train", "chess"),
        ("1001.jpg", "train", "chess"),
        ("1002.jpg", "train", "tennis"),
        ("1005.jpg", "test", None),
        ("1004.jpg", "test", None),
        ("1003.jpg", "test", None),
    ]
    assert order_of_tests(listing) == ("1005.jpg", "1004.jpg", "1003.jpg")


def test_name_in_both_splits_gets_a_prefix_and_unlisted_images_are_rejected(tmp_path) -> None:
    files = {**ONE_EACH, "test_images_list.csv": b"image\n1000.jpg"}
    files |= empty("test/test/1000.jpg", "train/train/x.jpg", "test/test/y.png")
    listing = list_sports(zipped(tmp_path / "s", files), SPORTS, AUTO)
    names = [entry.image for entry in listing.entries]
    assert names == ["train/1000.jpg", "1001.jpg", "1000.jpg"]
    assert rejected(listing) == ["x.jpg", "1002.jpg", "y.png"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train_labels.csv", "image,sport\n", "no column 'sports'"),
        ("train_labels.csv", "image,sports\n1000.jpg,darts\n", "line 2: has the label 'darts'"),
        ("train_labels.csv", "image,sports\n7.jpg,chess\n", "line 2: names the image 7.jpg, which"),
        ("train_labels.csv", "image,sports\n../../x.jpg,chess\n", "line 2: .*no path below"),
        ("train_labels.csv", "image,sports\n/etc/passwd,chess\n", "line 2: .*no path below"),
        ("train_labels.csv", "image,sports\n1000.jpg,chess\n", "no image of the class tennis"),
        ("train_labels.csv", "image,sports\n1000.jpg,chess\n1000.jpg,tennis\n", "line 3: .*again"),
        ("test_images_list.csv", "picture\n1002.jpg\n", "no column 'image'"),
        ("test_images_list.csv", "image\n7.jpg\n", "names the image 7.jpg, which is not there"),
    ],
)
def test_malformed_kaggle_list_is_refused(tmp_path, name, content, message) -> None:
    with pytest.raises(UserFacingError, match=message):
        list_sports(zipped(tmp_path / "s", {**ONE_EACH, name: content.encode()}), SPORTS, AUTO)


def test_missing_kaggle_list_is_named(tmp_path: Path) -> None:
    files = {name: v for name, v in ONE_EACH.items() if name != "test_images_list.csv"}
    with pytest.raises(UserFacingError, match=r"test_images_list\.csv: is missing"):
        list_sports(zipped(tmp_path / "s", files), SPORTS, AUTO)


def test_single_class_folder_is_not_a_wrapping_folder(tmp_path: Path) -> None:
    listing = list_sports(zipped(tmp_path / "s", {"chess/1.jpg": b""}), ("chess",), AUTO)
    assert [entry.label for entry in listing.entries] == ["chess"]


def test_format_can_be_set(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "s", empty("chess/1.jpg", "tennis/1.jpg", "chess/x.jpg/y"))
    assert rejected(list_sports(archive, SPORTS, AUTO)) == ["chess/x.jpg/y"]
    with pytest.raises(UserFacingError, match=r"test_images_list\.csv: is missing"):
        list_sports(archive, SPORTS, LabelledForm(form="kaggle"))
