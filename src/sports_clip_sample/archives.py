"""Write the two archives of a sample, and a note of what they hold."""

import csv
import io
import json
import sys
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from sports_clip_sample import plan, rendering
from sports_clip_sample.captions import describe
from sports_clip_sample.plan import FLICKR, TEST, TRAIN, Shot

VERSION = 1
"""Raise it when the same size and seed give other bytes."""
NOTE = "sample.json"
ARCHIVES = ("flickr8k.zip", "sports.zip")
_DATE = (2020, 1, 1, 0, 0, 0)
_PAGE = b"<!DOCTYPE html><html><body><h1>404</h1><p>This picture has moved.</p></body></html>\n"

Row = tuple[str, ...]


def write_sample(out: Path, size: int, seed: int) -> None:
    """Write `flickr8k.zip`, `sports.zip` and `sample.json` into the folder `out`.

    The same size, seed and generator version give the same bytes; where they are there already
    nothing is written. Each file is written beside its final path and renamed.

    Args:
        out: a folder; made where it is missing.
        size: labelled sports pictures, 40 or more; `plan.sizes` gives the other counts.
        seed: 0 or more.
    Raises: ValueError: a size or seed out of range. OSError: a folder that cannot be written.
    """
    for option, value, low, high in (("size", size, 40, 10_000_000), ("seed", seed, 0, 2**63 - 1)):
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"--{option}: wanted an integer from {low} to {high}, got {value!r}")
    note = {"version": VERSION, "size": size, "seed": seed, **plan.sizes(size)}
    if _is_there(out, note):
        print(f"{out}: this sample (size {size}, seed {seed}) is already there", file=sys.stderr)
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / NOTE).unlink(missing_ok=True)
    total = sum(plan.sizes(size).values())
    with tqdm(total=total, desc="drawing", unit="picture", disable=not sys.stderr.isatty()) as bar:
        for name, fill in zip(ARCHIVES, (_flickr, _sports), strict=True):
            with _replacing(out / name) as partial, zipfile.ZipFile(partial, "w") as zipped:
                fill(zipped, size, seed, bar)
    with _replacing(out / NOTE) as partial:
        partial.write_text(json.dumps({**note, "bytes": _bytes(out)}) + "\n")


def _is_there(out: Path, note: dict[str, int]) -> bool:
    try:
        return bool(json.loads((out / NOTE).read_text()) == {**note, "bytes": _bytes(out)})
    except (OSError, ValueError):
        return False


def _bytes(out: Path) -> dict[str, int]:
    """The sizes of the archives in bytes."""
    return {name: (out / name).stat().st_size for name in ARCHIVES}


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write; renamed to `path` when the block ends without error."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _flickr(zipped: zipfile.ZipFile, size: int, seed: int, bar: tqdm) -> None:
    _pictures(zipped, FLICKR, "Images", size, seed, bar)
    _table(zipped, "captions.txt", ("image", "caption"), _captions(size, seed))


def _sports(zipped: zipfile.ZipFile, size: int, seed: int, bar: tqdm) -> None:
    _pictures(zipped, TRAIN, "train/train", size, seed, bar)
    _pictures(zipped, TEST, "test/test", size, seed, bar)
    train, test = _shots(TRAIN, size), _shots(TEST, size)
    labels = ((plan.name_of(seed, shot), plan.label_of(seed, shot)) for shot in train)
    _table(zipped, "train_labels.csv", ("image", "sports"), labels)
    names = ((plan.name_of(seed, shot),) for shot in test)
    _table(zipped, "test_images_list.csv", ("image",), names)


def _shots(split: str, size: int) -> Iterator[Shot]:
    return (plan.shot_at(split, number) for number in range(plan.sizes(size)[split]))


def _captions(size: int, seed: int) -> Iterator[Row]:
    for shot in _shots(FLICKR, size):
        rng = plan.chance(seed, shot.split, shot.number, "captions")
        for caption in describe(plan.scene_of(seed, shot), rng):
            yield plan.name_of(seed, shot), caption


def _pictures(
    zipped: zipfile.ZipFile, split: str, folder: str, size: int, seed: int, bar: tqdm
) -> None:
    for shot in _shots(split, size):
        zipped.writestr(_entry(f"{folder}/{plan.name_of(seed, shot)}"), picture(seed, shot))
        bar.update(1)


def picture(seed: int, shot: Shot) -> bytes:
    """The bytes of this file: a JPEG, or what its flaw makes of it."""
    if shot.flaw == "page":
        return _PAGE
    rng = plan.chance(seed, *plan.source(shot), "picture")
    image = rendering.render(plan.scene_of(seed, shot), rng)
    quality = rng.randrange(72, 93)
    if shot.flaw == "near":
        width, height = image.size
        return rendering.jpeg(image.resize((width * 7 // 8, height * 7 // 8)), 88)
    content = rendering.jpeg(image, quality, turned=shot.flaw == "turned")
    return content[: len(content) * 2 // 5] if shot.flaw == "truncated" else content


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
