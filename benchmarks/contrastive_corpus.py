"""Captioned images for the benchmarks: as a store of ours, as loose files, as a CSV."""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import tempfile
import zipfile
from pathlib import Path

import pandas as pd
from PIL import Image

from sports_clip_pipeline.data.image_store import write_index, write_shard
from sports_clip_sample import write_sample

SHARD = 512
TABLE = "manifest.parquet"


def add_archive(parser: argparse.ArgumentParser, images: int) -> None:
    """The options that say which images."""
    parser.add_argument("--archive", type=Path, help="flickr8k.zip; drawn scenes without it")
    parser.add_argument("--images", type=int, default=images, help=f"(default: {images})")


def write_corpus(folder: Path, archive: Path | None, images: int) -> Path:
    """The same bytes as `store/` (ours), `files/` and `pairs.csv`, and the table of captions.

    Raises: ValueError: the archive has fewer captioned images.
    """
    with tempfile.TemporaryDirectory() as drawn:
        if archive is None:
            write_sample(Path(drawn), max(60, 4 * images), 3)
            archive = Path(drawn) / "flickr8k.zip"
        captions, jpegs = _read(archive, images)
    names = list(captions)
    store, files = folder / "store", folder / "files"
    store.mkdir(parents=True)
    files.mkdir()
    shards = []
    for number, start in enumerate(range(0, len(names), SHARD)):
        chunk = names[start : start + SHARD]
        shard = write_shard(
            store / f"shard-{number:05d}.arrow", chunk, [jpegs[name] for name in chunk]
        )
        shards.append({**shard, "dropped": []})
    write_index(store, shards)
    for name, jpeg in jpegs.items():
        (files / name).write_bytes(jpeg)
    with (folder / "pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption"])
        rows.writerows([files / name, text] for name in names for text in captions[name])
    digests = [hashlib.sha256(jpegs[name]).hexdigest() for name in names]
    pd.DataFrame(
        {
            "image": names, "captions": [captions[name] for name in names],
            "stored_sha256": digests, "split": "train",
        }
    ).to_parquet(folder / TABLE)  # fmt: skip
    return folder


def _read(archive: Path, images: int) -> tuple[dict[str, list[str]], dict[str, bytes]]:
    with zipfile.ZipFile(archive) as file:
        members = {Path(name).name: name for name in file.namelist()}
        lines = csv.DictReader(io.StringIO(file.read(members["captions.txt"]).decode()))
        captions: dict[str, list[str]] = {}
        for line in lines:
            captions.setdefault(line["image"], []).append(line["caption"])
        jpegs: dict[str, bytes] = {}
        for name in captions:
            if len(jpegs) < images and name in members and _whole(jpeg := file.read(members[name])):
                jpegs[name] = jpeg
        if len(jpegs) < images:
            raise ValueError(f"{archive} has {len(jpegs)} captioned images, wanted {images}")
        return {name: captions[name] for name in jpegs}, jpegs


def _whole(jpeg: bytes) -> bool:
    """Whether an image can be read; the drawn corpus has some that cannot."""
    try:
        Image.open(io.BytesIO(jpeg), formats=("JPEG",)).load()
    except OSError:
        return False
    return True
