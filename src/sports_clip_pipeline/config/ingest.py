"""Parameters of the `ingest` pipeline, and the smaller blocks that its library takes."""

from __future__ import annotations

from dataclasses import dataclass

from sports_clip_pipeline.config.checks import require, require_choice, require_number
from sports_clip_pipeline.machine import cores

LABELLED_FORMS = ("auto", "kaggle", "csv", "folders")
_MIB = 1024 * 1024


@dataclass(frozen=True)
class ArchiveLimits:
    """How much an archive may claim before it is taken for a bomb.

    Attributes:
        members: files in it.
        member_bytes: size of one file, unpacked.
        total_bytes: size of all files, unpacked.
        ratio: unpacked over packed size of one file (asked of files above 1 MiB only).
    """

    members: int = 1_000_000
    member_bytes: int = 128 * _MIB
    total_bytes: int = 65_536 * _MIB
    ratio: float = 200.0


@dataclass(frozen=True)
class ImageRules:
    """Which images are usable, and how they are kept.

    Attributes:
        short_side: longest allowed short side in the store, pixels.
        jpeg_quality: of images that are encoded anew, 1..95.
        min_side: shortest usable side, pixels.
        max_aspect: largest usable long side over short side.
        max_pixels: largest usable width times height.
    """

    short_side: int = 256
    jpeg_quality: int = 92
    min_side: int = 32
    max_aspect: float = 4.0
    max_pixels: int = 100_000_000


@dataclass(frozen=True)
class LabelledForm:
    """How the labelled corpus says which photograph is of which class.

    Attributes:
        form: `kaggle`, `csv`, `folders` or `auto`; see `IngestConfig.labelled_form`.
        labels_file: name of the list of the form `csv`.
        image_column, label_column: its columns.
        images_folder: where its paths begin, below the list's own folder; empty: there.
        unlabelled_folder: folder of photographs without a label, beside the list or the classes.
    """

    form: str = "auto"
    labels_file: str = "labels.csv"
    image_column: str = "image"
    label_column: str = "label"
    images_folder: str = ""
    unlabelled_folder: str = "unlabelled"


@dataclass(frozen=True)
class IngestConfig:
    """How the corpora are opened, checked, kept, searched for duplicates and split.

    Attributes:
        labelled_form: form of the labelled corpus: `kaggle` (lists beside folders), `csv` (a list
            of image and label), `folders` (one folder a class), or `auto`: `kaggle` where
            train_labels.csv stands, else `csv` where labels_file stands on top, else `folders`.
        labels_file, image_column, label_column: the list of the form `csv`, and its columns.
        images_folder: folder that its paths begin in, below the list's own; empty: that one.
        unlabelled_folder: photographs that only get predictions, in the forms `csv` and `folders`.
        short_side: images are scaled down to this short side, pixels; smaller ones keep their size.
        jpeg_quality: of images that are encoded anew, 1..95.
        min_side: a shorter side is set aside, pixels.
        max_aspect: a longer picture (long over short side) is set aside.
        max_megapixels: a larger picture is set aside before it is decoded.
        max_quarantine_share: the run stops when more than this share of a corpus is unreadable.
        shard_images: images a shard of the store; also the unit of work and of resumption.
        workers: processes that decode; 0 means one for each core.
        near_bits: difference hashes at most this many bits apart are near, thumbnails permitting.
        near_grey_levels: thumbnails agree when their mean absolute difference is at most this.
        validation_images: Flickr8k images for validation, where no list is published.
        test_images: Flickr8k images for testing, where no list is published.
        max_heldout_share: neither takes more than this share of a small corpus.
        evaluation_share: share of the labelled images kept for evaluation.
        seed: of the Flickr8k and Sports splits.
        max_members, max_member_mib, max_total_gib, max_ratio: limits of an archive.
    """

    labelled_form: str = "auto"
    labels_file: str = "labels.csv"
    image_column: str = "image"
    label_column: str = "label"
    images_folder: str = ""
    unlabelled_folder: str = "unlabelled"
    short_side: int = 256
    jpeg_quality: int = 92
    min_side: int = 32
    max_aspect: float = 4.0
    max_megapixels: float = 100.0
    max_quarantine_share: float = 0.05
    shard_images: int = 512
    workers: int = 0
    near_bits: int = 2
    near_grey_levels: float = 8.0
    validation_images: int = 1000
    test_images: int = 1000
    max_heldout_share: float = 0.125
    evaluation_share: float = 0.2
    seed: int = 0
    max_members: int = 1_000_000
    max_member_mib: float = 128.0
    max_total_gib: float = 64.0
    max_ratio: float = 200.0

    def __post_init__(self) -> None:
        require_choice(self.labelled_form, "ingest.labelled_form", LABELLED_FORMS)
        for name in ("labels_file", "image_column", "label_column", "unlabelled_folder"):
            value = getattr(self, name)
            is_name = isinstance(value, str) and value.strip() == value != ""
            wanted = "a name without outer blanks"
            require(is_name, f"ingest.{name}", wanted, value)
            if "column" not in name:
                _require_inside(value, f"ingest.{name}", deep=False)
        if self.images_folder != "":
            _require_inside(self.images_folder, "ingest.images_folder", deep=True)
        for name, low, high in _WHOLE:
            require_number(getattr(self, name), f"ingest.{name}", low, high, integer=True)
        for name, least, most in _REAL:
            require_number(getattr(self, name), f"ingest.{name}", least, most)

    @property
    def labelled(self) -> LabelledForm:
        """How the labelled corpus says which photograph is of which class."""
        return LabelledForm(
            self.labelled_form,
            self.labels_file,
            self.image_column,
            self.label_column,
            self.images_folder,
            self.unlabelled_folder,
        )

    @property
    def limits(self) -> ArchiveLimits:
        """The limits of an archive, in bytes."""
        return ArchiveLimits(
            self.max_members,
            int(self.max_member_mib * _MIB),
            int(self.max_total_gib * 1024 * _MIB),
            self.max_ratio,
        )

    @property
    def image_rules(self) -> ImageRules:
        """Which images are usable, and how they are kept."""
        return ImageRules(
            self.short_side,
            self.jpeg_quality,
            self.min_side,
            self.max_aspect,
            int(self.max_megapixels * 1_000_000),
        )

    @property
    def processes(self) -> int:
        """Processes that decode."""
        return self.workers or cores()


def _require_inside(value: object, parameter: str, *, deep: bool) -> None:
    """A name below the corpus: one part, or several with `/` where it may be deep."""
    parts = value.split("/") if isinstance(value, str) and value else []
    plain = isinstance(value, str) and not set(value) & set("\\:")
    inside = plain and not {"", ".", ".."} & set(parts) and (deep or len(parts) == 1)
    kind = "a folder inside the corpus, such as images/all" if deep else "a name without folders"
    require(inside, parameter, kind, value)


_WHOLE = (
    ("short_side", 32, 4096),
    ("jpeg_quality", 1, 95),
    ("min_side", 1, 1024),
    ("shard_images", 1, 65_536),
    ("workers", 0, 256),
    ("near_bits", 0, 4),
    ("validation_images", 1, 10_000_000),
    ("test_images", 1, 10_000_000),
    ("seed", 0, 2**31 - 1),
    ("max_members", 1, 100_000_000),
)
_REAL = (
    ("max_aspect", 1.0, 1000.0),
    ("max_megapixels", 0.01, 150.0),
    ("max_quarantine_share", 0.0, 1.0),
    ("near_grey_levels", 0.0, 255.0),
    ("max_heldout_share", 0.001, 0.4),
    ("evaluation_share", 0.01, 0.9),
    ("max_member_mib", 0.01, 1_000_000.0),
    ("max_total_gib", 0.001, 1_000_000.0),
    ("max_ratio", 1.0, 1_000_000.0),
)
