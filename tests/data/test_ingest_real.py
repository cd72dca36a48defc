"""Ingest of real images: a seeded subset, and damaged files of the same crawl."""

import hashlib
import os
import random
from pathlib import Path

import pytest

from sports_clip_pipeline.data.archives import Archive
from sports_clip_pipeline.data.flickr8k import list_flickr8k
from sports_clip_pipeline.data.ingest import (
    Scan,
    close_store,
    manifest_of,
    resolve_duplicates,
    scan_corpus,
)
from sports_clip_pipeline.data.labelled import list_sports
from sports_clip_pipeline.data.splits import labels_for_fraction, make_splits
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.ingest.config import IngestConfig
from tests.data.factories import Files, zipped

pytestmark = pytest.mark.real


def real_archive(name: str) -> Archive:
    """`name`.zip of the real study; skips the test if it is missing."""
    folders = [
        os.environ.get("SPORTS_CLIP_RAW_DIR"),
        Path(__file__).parents[2] / "data/01_raw/real",
    ]
    for folder in filter(None, folders):
        if Path(folder, f"{name}.zip").is_file():
            return Archive.open(Path(folder, name))
    pytest.skip(f"{name}.zip is neither in SPORTS_CLIP_RAW_DIR nor in data/01_raw/real")


@pytest.fixture(scope="module")
def dirty() -> Scan:
    archive = real_archive("sports_dirty")
    labels = sorted({name.split("/")[0] for name in archive.names()})
    config = IngestConfig(max_quarantine_share=1.0)
    return scan_corpus(archive, list_sports(archive, labels, config.labelled), config, RunState())


def test_unusable_files_are_quarantined_and_others_become_rgb(dirty: Scan) -> None:
    reasons = dirty.quarantine["reason"].value_counts().to_dict()
    assert reasons == {"too_long": 28, "empty": 11, "not_an_image": 1}
    page = dirty.quarantine.set_index("image").loc["table_tennis/00000533.ashx"]
    assert (page["reason"], page["detail"]) == ("not_an_image", "starts with b'<!DOCTYPE ht'")
    suffixes = dirty.rows["path"].str.rsplit(".", n=1).str[1].value_counts().to_dict()
    assert suffixes == {"gif": 32, "webp": 8}
    store = close_store(dirty, dirty.rows.assign(corpus="sports", action="kept"))
    images = [store.get(i) for i in range(len(store))]
    assert {image.mode for image in images} == {"RGB"}
    assert max(min(image.size) for image in images) == 256
    assert all(max(image.getextrema())[1] > 0 for image in images)


def flickr8k_subset(count: int) -> Files:
    archive = real_archive("flickr8k")
    names = [name for name in archive.names() if name.startswith("Images/")]
    chosen = random.Random(0).sample(names, count)
    kept = {name.removeprefix("Images/") for name in chosen}
    lines = archive.read("captions.txt").decode().splitlines()
    table = [lines[0], *(line for line in lines if line.partition(",")[0] in kept)]
    return {**{n: archive.read(n) for n in chosen}, "captions.txt": "\n".join(table).encode()}


def sports_subset(labelled: int, tests: int) -> Files:
    archive, rng, files = real_archive("sports"), random.Random(0), {}
    for name, folder, count in (
        ("train_labels.csv", "train/train/", labelled),
        ("test_images_list.csv", "test/test/", tests),
    ):
        head, *lines = archive.read(name).decode().splitlines()
        chosen = rng.sample(lines, count)
        files[name] = "\n".join([head, *chosen]).encode()
        files |= {n: archive.read(n) for n in (folder + line.partition(",")[0] for line in chosen)}
    return files


def test_a_subset_of_the_corpora_becomes_stores_manifests_and_splits(tmp_path: Path) -> None:
    flickr8k = zipped(tmp_path / "flickr8k", flickr8k_subset(200))
    sports = zipped(tmp_path / "sports", sports_subset(600, 200))
    table = sports.read("train_labels.csv").decode().splitlines()[1:]
    labels = sorted({line.partition(",")[2] for line in table})
    config = IngestConfig(shard_images=256)
    scans = (
        scan_corpus(flickr8k, list_flickr8k(flickr8k), config, RunState()),
        scan_corpus(sports, list_sports(sports, labels, config.labelled), config, RunState()),
    )
    images, quarantine, _ = resolve_duplicates(*scans, config)
    assert set(quarantine["reason"]) <= {"conflicting_labels"}
    for scan in scans:
        store, manifest = close_store(scan, images), manifest_of(scan.corpus, images)
        digests = [hashlib.sha256(store.get_bytes(i)).hexdigest() for i in range(len(store))]
        assert digests == manifest["stored_sha256"].tolist() == manifest["sha256"].tolist()
    assert manifest_of("flickr8k", images)["captions"].map(len).eq(5).all()
    splits = make_splits(manifest, labels)
    share = (splits["split"] == "test").sum() / splits["label"].notna().sum()
    assert share == pytest.approx(0.2, abs=0.02)
    few, many = (set(labels_for_fraction(splits, f, 0)) for f in (0.25, 0.5))
    assert few < many
