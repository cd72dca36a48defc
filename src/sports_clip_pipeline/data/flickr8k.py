"""Reader of Flickr8k and of other captioned images, in two formats.

* `Images/*.jpg` with `captions.txt` or `captions.csv`, a CSV `image,caption` with any number of
  rows per image (Flickr8k has five);
* `Flicker8k_Dataset/*.jpg` with `Flickr8k.token.txt` (`name.jpg#0<TAB>caption`) and the lists
  `Flickr_8k.{train,dev,test}Images.txt`.

Source: Hodosh, Young and Hockenmaier 2013, Journal of Artificial Intelligence Research 47.
"""

import csv
import io
import re
from collections.abc import Iterator

from sports_clip_pipeline.data import listing
from sports_clip_pipeline.data.archives import Archive
from sports_clip_pipeline.data.formats import IMAGE_SUFFIXES
from sports_clip_pipeline.errors import UserFacingError

FOLDERS = ("Images", "Flicker8k_Dataset", "Flickr8k_Dataset")
LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "validation": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
_SUFFIXES = "|".join(re.escape(suffix) for suffix in sorted(IMAGE_SUFFIXES))
_MERGED_ROWS = re.compile(rf"\n[^,\n]+(?:{_SUFFIXES}),", re.IGNORECASE)


def list_flickr8k(archive: Archive) -> listing.Listing:
    """List the images with their captions, and with their splits if lists are published.

    Images without a caption are rejected, and captions of the token file without an image (the
    published file has five such).

    Raises: UserFacingError: the archive has neither format, or a file of it is malformed.
    """
    images = listing.image_folder(archive, FOLDERS)
    captions = _read_captions(archive, images)
    splits = _published_splits(archive, set(captions))
    default_split = "train" if splits else ""
    entries = tuple(
        listing.Entry(
            name, images[name], splits.get(name, default_split), None, tuple(captions[name])
        )
        for name in sorted(captions)
        if name in images
    )
    without_image = [
        listing.RejectedFile(name, "", "missing", "has captions, no image")
        for name in captions
        if name not in images
    ]
    without_caption = [
        listing.RejectedFile(name, path, "no_caption", "has no caption")
        for name, path in images.items()
        if name not in captions and listing.is_image_name(name)
    ]
    return listing.Listing("flickr8k", entries, (*without_image, *without_caption))


def _read_captions(archive: Archive, images: dict[str, str]) -> dict[str, list[str]]:
    """Captions of each image; every image that the CSV format names must exist."""
    table = listing.find_file(archive, "captions.txt") or listing.find_file(archive, "captions.csv")
    path = table or listing.find_file(archive, "Flickr8k.token.txt")
    if not images or path is None:
        raise UserFacingError(
            archive.path,
            "holds neither Images/ with captions.txt nor Flicker8k_Dataset/ with "
            "Flickr8k.token.txt",
            "put Flickr8k there as it is published, or your own captions in the first format",
        )
    captions: dict[str, list[str]] = {}
    read_rows = _table_rows if table else _token_rows
    for where, image, caption in read_rows(archive, path):
        name = listing.inner_path(image, where)
        if table and name not in images:
            raise listing.missing_image(name, where)
        captions.setdefault(name, []).append(caption.strip())
    if not captions:
        raise UserFacingError(f"{archive.path}:{path}", "holds no caption", "get it again")
    return captions


def _table_rows(archive: Archive, path: str) -> Iterator[tuple[str, str, str]]:
    """Where each row stands, its image and caption; commas in unquoted captions are kept."""
    rows = listing.read_columns(archive, path, ("image", "caption"))
    text = listing.read_text(archive, path)
    lines = text.splitlines()
    if [field.strip() for field in next(csv.reader(lines[:1]))] == ["image", "caption"]:
        reader = csv.reader(io.StringIO(text, newline=""))
        rows = [(reader.line_num, row) for row in reader if row][1:]
        if any(_MERGED_ROWS.search(field) for _, row in rows for field in row):
            # A caption opens a quote and never closes it: parse each line on its own.
            rows = [(at, next(csv.reader([line]))) for at, line in enumerate(lines, 1) if line][1:]
    for line, (image, *caption) in rows:
        yield f"{archive.path}:{path} line {line}", image.strip(), ",".join(caption)


def _token_rows(archive: Archive, path: str) -> Iterator[tuple[str, str, str]]:
    for where, line in _lines(archive, path):
        key, tab, caption = line.partition("\t")
        name, hash_sign, index = key.strip().rpartition("#")
        if not (tab and hash_sign and index.isdigit()):
            what = f"is not `name.jpg#0<TAB>caption` but {line[:60]!r}"
            raise UserFacingError(where, what, "fix the line")
        yield where, name, caption


def _lines(archive: Archive, path: str) -> Iterator[tuple[str, str]]:
    """Where each line of a text file stands, and the line; blank ones are skipped."""
    for number, line in enumerate(io.StringIO(listing.read_text(archive, path), newline=None), 1):
        if line.strip():
            yield f"{archive.path}:{path} line {number}", line.rstrip("\n")


def _published_splits(archive: Archive, captioned: set[str]) -> dict[str, str]:
    """Image -> split, from the published lists; empty if there are none."""
    paths = {split: listing.find_file(archive, name) for split, name in LISTS.items()}
    if not any(paths.values()):
        return {}
    splits: dict[str, str] = {}
    for split, path in paths.items():
        if path is None:
            where = f"{archive.path}:{LISTS[split]}"
            remedy = "put all three lists there, or none"
            raise UserFacingError(where, "is missing beside the other lists", remedy)
        for where, line in _lines(archive, path):
            name = listing.inner_path(line.strip(), where)
            if name not in captioned:
                raise UserFacingError(where, f"names {name}, which has no caption", "fix the list")
            if (other := splits.setdefault(name, split)) != split:
                what = f"names {name}, which {other} has too"
                raise UserFacingError(where, what, "fix the lists")
    return splits
