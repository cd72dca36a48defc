"""Write a sample: two archives in the published forms, and a note of what they hold."""

from __future__ import annotations

import csv
import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal.disk import replacing_file
from sports_clip_pipeline.sample import photo, plan
from sports_clip_pipeline.sample.captions import describe
from sports_clip_pipeline.sample.plan import FLICKR, TEST, TRAIN, Shot

VERSION = 1
"""Raise it when the same size and seed give other bytes."""
SMALLEST, LARGEST = 40, 10_000_000
NOTE = "sample.json"
ARCHIVES = ("flickr8k.zip", "sports.zip")
_DATE = (2020, 1, 1, 0, 0, 0)
_PAGE = b"<!DOCTYPE html><html><body><h1>404</h1><p>This picture has moved.</p></body></html>\n"

Row = tuple[str, ...]


def write_sample(out: Path, size: int, seed: int) -> None:
    """Write `flickr8k.zip`, `sports.zip` and `sample.json` into the folder `out`.

    The same size, seed and generator version give the same bytes; where they are there already
    nothing is written. Each archive is written beside its place and renamed.

    Args:
        out: a folder; made where it is missing.
        size: labelled sports pictures, 40 or more; `plan.sizes` tells the rest.
        seed: 0 or more.
    Raises: UserFacingError: a size or seed out of range, or a folder that cannot be written.
    """
    _require_whole("--size", size, SMALLEST, LARGEST)
    _require_whole("--seed", seed, 0, 2**63 - 1)
    note = {"version": VERSION, "size": size, "seed": seed, **plan.sizes(size)}
    if _is_there(out, note):
        print(f"{out}: this sample (size {size}, seed {seed}) is already there", file=sys.stderr)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / NOTE).unlink(missing_ok=True)
        total = sum(plan.sizes(size).values())
        with tqdm(
            total=total, desc="drawing", unit="picture", disable=not sys.stderr.isatty()
        ) as bar:
            _archive(out / ARCHIVES[0], lambda zipped: _flickr(zipped, size, seed, bar))
            _archive(out / ARCHIVES[1], lambda zipped: _sports(zipped, size, seed, bar))
        _note(out / NOTE, {**note, "bytes": _bytes(out)})
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "free some space, or name a folder that can be written with --out"
        raise UserFacingError(error.filename or out, reason, remedy) from error


def _require_whole(option: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        wanted = f"wanted a whole number from {low} to {high}, got {value!r}"
        raise UserFacingError(option, wanted, f"give {option} another value")


def _is_there(out: Path, note: dict[str, int]) -> bool:
    try:
        return bool(json.loads((out / NOTE).read_text()) == {**note, "bytes": _bytes(out)})
    except (OSError, ValueError):
        return False


def _bytes(out: Path) -> dict[str, int]:
    """The sizes of the archives in bytes."""
    return {name: (out / name).stat().st_size for name in ARCHIVES}


def _archive(path: Path, fill: Callable[[zipfile.ZipFile], None]) -> None:
    """Write a zip beside `path` and rename it into place."""
    with (
        replacing_file(path) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as zipped,
    ):
        fill(zipped)


def _note(path: Path, note: dict[str, object]) -> None:
    with replacing_file(path) as partial:
        partial.write_text(json.dumps(note) + "\n")


def _flickr(zipped: zipfile.ZipFile, size: int, seed: int, bar: tqdm) -> None:
    _pictures(zipped, FLICKR, "Images", size, seed, bar)
    _table(zipped, "captions.txt", ("image", "caption"), _captions(size, seed))


def _sports(zipped: zipfile.ZipFile, size: int, seed: int, bar: tqdm) -> None:
    _pictures(zipped, TRAIN, "train/train", size, seed, bar)
    _pictures(zipped, TEST, "test/test", size, seed, bar)
    train, test = _shots(TRAIN, size), _shots(TEST, size)
    labels = ((plan.name_of(seed, here), plan.label_of(seed, here)) for here in train)
    _table(zipped, "train_labels.csv", ("image", "sports"), labels)
    _table(
        zipped, "test_images_list.csv", ("image",), ((plan.name_of(seed, here),) for here in test)
    )


def _shots(part: str, size: int) -> Iterator[Shot]:
    return (plan.shot(part, number) for number in range(plan.sizes(size)[part]))


def _captions(size: int, seed: int) -> Iterator[Row]:
    for here in _shots(FLICKR, size):
        rng = plan.chance(seed, here.part, here.number, "captions")
        for caption in describe(plan.scene_of(seed, here), rng):
            yield plan.name_of(seed, here), caption


def _pictures(
    zipped: zipfile.ZipFile, part: str, folder: str, size: int, seed: int, bar: tqdm
) -> None:
    for here in _shots(part, size):
        zipped.writestr(_entry(f"{folder}/{plan.name_of(seed, here)}"), picture(seed, here))
        bar.update(1)


def picture(seed: int, here: Shot) -> bytes:
    """The file that stands at this place: a JPEG, or what its flaw makes of it."""
    if here.flaw == "page":
        return _PAGE
    rng = plan.chance(seed, *plan.source(here), "picture")
    image = photo.take(plan.scene_of(seed, here), rng)
    quality = rng.randrange(72, 93)
    if here.flaw == "near":
        width, height = image.size
        return photo.jpeg(image.resize((width * 7 // 8, height * 7 // 8)), 88)
    content = photo.jpeg(image, quality, turned=here.flaw == "turned")
    return content[: len(content) * 2 // 5] if here.flaw == "truncated" else content


def _table(zipped: zipfile.ZipFile, name: str, header: Row, rows: Iterable[Row]) -> None:
    """Stream a CSV into the archive, quoted where a cell holds commas or quotes."""
    with zipped.open(_entry(name), "w", force_zip64=True) as raw:
        text = io.TextIOWrapper(raw, "utf-8", newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)
        text.flush()
        text.detach()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system, entry.external_attr = 3, 0o644 << 16
    return entry
