"""From downloaded archives to a corpus folder that ingest accepts, whole or not at all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from sports_clip_pipeline.corpora.archive import Archive
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import Journal

_IMAGE_FOLDERS = ("Flicker8k_Dataset", "Images")
_CAPTION_FILES = ("Flickr8k.token.txt", "captions.txt")
_PLACE = re.compile(
    rf"(?:(?:{'|'.join(_IMAGE_FOLDERS)})/[A-Za-z0-9_-][A-Za-z0-9_.-]*\.jpe?g)"
    r"|(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*\.txt)"
)


def assemble_flickr8k(
    archives: Sequence[Path], building_site: Path, target: Path, journal: Journal
) -> int:
    """Unpack the published archives of Flickr8k into one folder.

    Only what the published form names is written: `Flicker8k_Dataset/*.jpg` or `Images/*.jpg`,
    and text files at the top. The folder is built at `building_site` and renamed to `target`, on
    the same disk.

    Returns: the number of images.
    Raises: UserFacingError: an archive that cannot be read or is not to be trusted
        (`corpora.archive`), no image, or no caption file.
    """
    shutil.rmtree(building_site, ignore_errors=True)
    building_site.mkdir(parents=True)
    for path in archives:
        archive = Archive(path)
        places = [name for name in archive.names() if _PLACE.fullmatch(name)]
        for place in journal.progress(places, f"unpacking {path.name}", len(places), "file"):
            destination = building_site / place
            destination.parent.mkdir(exist_ok=True)
            destination.write_bytes(archive.read(place))
        archive.close()
    images = sum(1 for _ in building_site.glob("*/*.jp*g"))
    _require_published_form(building_site, archives, images)
    move_into_place(building_site, target)
    return images


def move_into_place(folder: Path, target: Path) -> None:
    """Rename a finished folder to `target`, which must not exist or be empty."""
    if target.is_dir():
        target.rmdir()
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.replace(target)


def is_there(corpus: str, raw_dir: Path) -> Path | None:
    """The zip or the non-empty folder of `corpus` in `raw_dir` (the zip wins), or None."""
    archive, folder = raw_dir / f"{corpus}.zip", raw_dir / corpus
    if archive.is_file():
        return archive
    return folder if folder.is_dir() and any(folder.iterdir()) else None


def measure(path: Path) -> tuple[str, int]:
    """The digest of a zip or a folder, as `Archive.digest` defines it, and its bytes on disk."""
    archive = Archive(path)
    digest = archive.digest()
    archive.close()
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return digest, sum(file.stat().st_size for file in files)


def _require_published_form(folder: Path, archives: Sequence[Path], images: int) -> None:
    has_captions = any((folder / name).is_file() for name in _CAPTION_FILES)
    if images and has_captions:
        return
    what = f"{images} images and {'a' if has_captions else 'no'} caption file came out of them"
    remedy = (
        f"download.flickr8k_archives must together hold {' or '.join(_IMAGE_FOLDERS)}/*.jpg and "
        f"{' or '.join(_CAPTION_FILES)}"
    )
    raise UserFacingError(" + ".join(str(path) for path in archives), what, remedy)
