"""Flickr8k in both of its published forms.

* `Images/*.jpg` beside `captions.txt`, a CSV `image,caption` with five rows an image; anybody's
  captions may come in this form, with any number of rows an image (`captions.csv` is read too);
* `Flicker8k_Dataset/*.jpg` beside `Flickr8k.token.txt` (`name.jpg#0<TAB>caption`) and the lists
  `Flickr_8k.{train,dev,test}Images.txt`.

Source: Hodosh, Young and Hockenmaier 2013, RunState of Artificial Intelligence Research 47.
"""

from __future__ import annotations

import csv
import io
import re

from sports_clip_pipeline.data.archives import Archive
from sports_clip_pipeline.data.listing import (
    Entry,
    Listing,
    RejectedFile,
    find_file,
    image_folder,
    is_image_name,
    plain_name,
    read_columns,
    read_text,
)
from sports_clip_pipeline.data.transforms import IMAGE_SUFFIXES
from sports_clip_pipeline.errors import UserFacingError

FOLDERS = ("Images", "Flicker8k_Dataset", "Flickr8k_Dataset")
LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "validation": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
_SUFFIXES = "|".join(re.escape(suffix) for suffix in sorted(IMAGE_SUFFIXES))
_SWALLOWED_ROW = re.compile(rf"\n[^,\n]+(?:{_SUFFIXES}),", re.IGNORECASE)

Captions = dict[str, list[str]]


def list_flickr8k(archive: Archive) -> Listing:
    """The images of Flickr8k with their captions, and with their splits where lists are published.

    Images without a caption, and captions of the token file whose image is not there (the
    published file has five such), are rejected.

    Raises: UserFacingError: neither form stands in the archive, or a file of it is malformed.
    """
    captions, images = _read_captions(archive), image_folder(archive, FOLDERS)
    splits = _published_splits(archive, set(captions))
    unlisted = "train" if splits else ""
    entries = tuple(
        Entry(name, images[name], splits.get(name, unlisted), None, tuple(captions[name]))
        for name in sorted(captions)
        if name in images
    )
    missing = [RejectedFile(name, "", "missing", "has captions, no image") for name in captions]
    silent = [
        RejectedFile(name, path, "no_caption", "no caption speaks of it")
        for name, path in images.items()
        if name not in captions and is_image_name(name)
    ]
    rejected = (*(item for item in missing if item.image not in images), *silent)
    return Listing("flickr8k", entries, rejected)


def _read_captions(archive: Archive) -> Captions:
    table = find_file(archive, "captions.txt") or find_file(archive, "captions.csv")
    tokens = find_file(archive, "Flickr8k.token.txt")
    if not image_folder(archive, FOLDERS) or not (table or tokens):
        raise UserFacingError(
            archive.path,
            "holds neither Images/ with captions.txt nor Flicker8k_Dataset/ with "
            "Flickr8k.token.txt",
            "put Flickr8k there as it is published, or captions of your own in the first form",
        )
    captions = _from_table(archive, table) if table else _from_tokens(archive, tokens or "")
    if not captions:
        raise UserFacingError(
            f"{archive.path}:{table or tokens}", "holds no caption", "get it again"
        )
    return captions


def _from_table(archive: Archive, path: str) -> Captions:
    """The CSV form. Quotes and commas are read as CSV has them; every image must be there."""
    where = f"{archive.path}:{path}"
    read_columns(archive, path, ("image", "caption"))  # the header is right, or an error says why
    images, captions = image_folder(archive, FOLDERS), Captions()
    for line, name, caption in _rows(read_text(archive, path), where):
        plain_name(name, f"{where} line {line}")
        if name not in images:
            raise UserFacingError(
                f"{where} line {line}",
                f"names the image {name}, which is not there",
                "add the image or remove the line",
            )
        captions.setdefault(name, []).append(caption)
    return captions


def _rows(text: str, where: str) -> list[tuple[int, str, str]]:
    """Line, image and caption of each row; a caption with bare commas is put together again."""
    lines = text.splitlines()
    header = [field.strip() for field in next(csv.reader(lines[:1]))]
    if header[:2] != ["image", "caption"] or len(header) > 2:
        return _ordered_rows(text, header)
    reader = csv.reader(io.StringIO(text, newline=""))
    rows = [(reader.line_num, row) for row in reader if row][1:]
    if any(_SWALLOWED_ROW.search(field) for _, row in rows for field in row):
        # A caption opens a quote and never closes it: read line by line, each line a row.
        rows = [(at, next(csv.reader([line]))) for at, line in enumerate(lines, 1) if line][1:]
    return [(line, row[0].strip(), ",".join(row[1:]).strip()) for line, row in rows]


def _ordered_rows(text: str, header: list[str]) -> list[tuple[int, str, str]]:
    image, caption = header.index("image"), header.index("caption")
    reader = csv.reader(io.StringIO(text, newline=""))
    rows = [(reader.line_num, row) for row in reader if row][1:]
    return [(line, row[image].strip(), row[caption].strip()) for line, row in rows]


def _from_tokens(archive: Archive, path: str) -> Captions:
    where, captions = f"{archive.path}:{path}", Captions()
    for number, line in enumerate(read_text(archive, path).split("\n"), 1):
        if not line.strip():
            continue
        key, tab, caption = line.rstrip("\r").partition("\t")
        name, mark, place = key.strip().rpartition("#")
        if not (tab and mark and place.isdigit()):
            raise UserFacingError(
                f"{where} line {number}",
                f"is not `name.jpg#0<TAB>caption` but {line[:60]!r}",
                "mend the line",
            )
        captions.setdefault(plain_name(name, f"{where} line {number}"), []).append(caption.strip())
    return captions


def _published_splits(archive: Archive, known: set[str]) -> dict[str, str]:
    """Image -> split, from the published lists; empty where there are none."""
    paths = {split: find_file(archive, name) for split, name in LISTS.items()}
    if not any(paths.values()):
        return {}
    splits: dict[str, str] = {}
    for split, path in paths.items():
        if path is None:
            raise UserFacingError(
                f"{archive.path}:{LISTS[split]}",
                "is missing beside the other lists",
                "put all three lists there, or none",
            )
        for number, line in enumerate(read_text(archive, path).splitlines(), 1):
            name, where = line.strip(), f"{archive.path}:{path} line {number}"
            if name:
                _assign(splits, plain_name(name, where), split, where, known)
    return splits


def _assign(splits: dict[str, str], name: str, split: str, where: str, known: set[str]) -> None:
    if name not in known:
        raise UserFacingError(where, f"names {name}, which has no caption", "mend the list")
    if splits.setdefault(name, split) != split:
        raise UserFacingError(
            where, f"names {name}, which {splits[name]} has too", "mend the lists"
        )
