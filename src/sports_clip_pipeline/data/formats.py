"""Accepted image formats, rules for usable images, limits of archives, forms of a corpus."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field

from sports_clip_pipeline.parameters import Parameters, choices

IMAGE_FORMATS = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
}
"""Accepted image formats: Pillow's name and the file extensions. Add a format here."""
IMAGE_SUFFIXES = frozenset(suffix for suffixes in IMAGE_FORMATS.values() for suffix in suffixes)
LABELLED_FORMS = ("auto", "kaggle", "csv", "folders")


def _size(value: Any) -> Any:
    return ByteSize._validate(value, None) if isinstance(value, str) else value  # type: ignore[arg-type]


Bytes = Annotated[int, BeforeValidator(_size), Field(ge=1)]
"""A number of bytes, also written as text: `128MiB`."""


class ArchiveLimits(Parameters):
    """How much an archive may claim before it is taken for a decompression bomb."""

    members: int = Field(1_000_000, ge=1, description="Files in an archive.")
    member_bytes: Bytes = Field(128 << 20, description="Unpacked size of one file, e.g. 128MiB.")
    total_bytes: Bytes = Field(64 << 30, description="Unpacked size of all files, e.g. 64GiB.")
    ratio: float = Field(
        200.0, ge=1, description="Unpacked over packed size of one file (of files above 1 MiB)."
    )


class ImageRules(Parameters):
    """Which images are usable, and how they are stored."""

    short_side: int = Field(
        256, ge=32, le=4096, description="Images are scaled down to this short side, pixels."
    )
    jpeg_quality: int = Field(92, ge=1, le=95, description="Of images that are encoded anew.")
    min_side: int = Field(32, ge=1, le=1024, description="Shortest usable side, pixels.")
    max_aspect: float = Field(4.0, ge=1, le=1000, description="Largest long side over short side.")
    max_pixels: int = Field(
        100_000_000, ge=10_000, le=150_000_000, description="Largest usable width times height."
    )


def _name(value: str) -> str:
    if value.strip() != value or not value:
        raise ValueError("wanted a name without outer blanks")
    return value


def _relative(value: str) -> str:
    """A path below the corpus in one or more parts. Raises: ValueError."""
    parts = value.split("/") if value else []
    if {"", ".", ".."} & set(parts) or set(value) & set("\\:"):
        raise ValueError("wanted a folder inside the corpus, such as images/all")
    return value


def _plain(value: str) -> str:
    if "/" in _relative(_name(value)):
        raise ValueError("wanted a name without folders")
    return value


class LabelledForm(Parameters):
    """How the labelled corpus says which image is of which class."""

    form: Annotated[str, choices(*LABELLED_FORMS)] = Field(
        "auto",
        description="`kaggle` (lists beside folders), `csv` (a list of image and label), `folders` "
        "(one folder a class), or `auto`: `kaggle` if there is a train_labels.csv, else `csv` if "
        "labels_file is on top, else `folders`.",
    )
    labels_file: Annotated[str, AfterValidator(_plain)] = Field(
        "labels.csv", description="The list of the form `csv`."
    )
    image_column: Annotated[str, AfterValidator(_name)] = Field("image", description="Its column.")
    label_column: Annotated[str, AfterValidator(_name)] = Field("label", description="Its column.")
    images_folder: Annotated[str, AfterValidator(_relative)] = Field(
        "", description="Where its paths begin, below the list's own folder; empty: there."
    )
    unlabelled_folder: Annotated[str, AfterValidator(_plain)] = Field(
        "unlabelled", description="Images that only get predictions, in `csv` and `folders`."
    )
