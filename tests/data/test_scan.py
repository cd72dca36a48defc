from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from sports_clip_pipeline.data import ingest as scanning
from sports_clip_pipeline.data.ingest import scan_corpus, thumbnails
from sports_clip_pipeline.data.listing import Entry, Listing, RejectedFile
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.ingest.config import IngestConfig
from tests.data.factories import Files, encoded, jpeg, picture, zipped

CONFIG = IngestConfig(shard_images=3, workers=1, max_quarantine_share=0.5)
NAMES = [f"{k}.jpg" for k in range(8)]
FILES: Files = {name: jpeg(k, 60 + k) for k, name in enumerate(NAMES)}


def listed(names: list[str] = NAMES) -> Listing:
    return Listing("sports", tuple(Entry(f"i/{n}", n, "train", "chess") for n in names))


def scan(place: Path, files: Files = FILES, config: IngestConfig = CONFIG, journal=None):
    return scan_corpus(zipped(place / "s", files), listed(), config, journal or RunState())


def test_every_fact_of_an_image_is_noted(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    content = encoded(picture(9, 64, 48), exif=turned)
    row = scan(tmp_path, {**FILES, "4.jpg": content}).rows.iloc[4]
    upright = Image.open(io.BytesIO(content)).transpose(Image.Transpose.ROTATE_270)
    assert (row["image"], row["path"], row["label"]) == ("i/4.jpg", "4.jpg", "chess")
    assert (row["width"], row["height"]) == (48, 64)
    assert row["sha256"] == hashlib.sha256(content).hexdigest() != row["stored_sha256"]
    assert row["dhash"] == str(imagehash.dhash(upright))
    assert (row["shard"], row["row"]) == (1, 1)


def test_rows_stand_in_the_order_of_the_listing_and_point_into_the_shards(tmp_path: Path) -> None:
    found = scan(tmp_path, {**FILES, "1.jpg": b"", "5.jpg": b"<html>"})
    assert found.rows["path"].tolist() == [n for n in NAMES if n not in ("1.jpg", "5.jpg")]
    assert found.rows["shard"].tolist() == [0, 0, 1, 1, 2, 2]
    assert found.rows["row"].tolist() == [0, 1, 0, 1, 0, 1]
    assert [shard["rows"] for shard in found.shards] == [2, 2, 2]
    assert found.quarantine[["corpus", "image", "path", "reason"]].to_numpy().tolist() == [
        ["sports", "i/1.jpg", "1.jpg", "empty"],
        ["sports", "i/5.jpg", "5.jpg", "not_an_image"],
    ]


def test_a_damaged_member_is_set_aside(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "s", FILES)
    path = tmp_path / "s.zip"
    path.write_bytes(path.read_bytes().replace(FILES["2.jpg"][-90:-50], b"\0" * 40))
    found = scan_corpus(archive, listed(), CONFIG, RunState())
    assert found.quarantine[["path", "reason"]].to_numpy().tolist() == [["2.jpg", "damaged"]]


def test_processes_give_the_same_as_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(scanning, "_INLINE_IMAGES", 0)
    alone = scan(tmp_path / "a")
    both = scan(tmp_path / "b", config=IngestConfig(shard_images=3, workers=2))
    assert alone.rows.equals(both.rows)
    assert alone.shards == both.shards


def test_a_killed_scan_goes_on_from_the_finished_shards(tmp_path: Path) -> None:
    first = scan(tmp_path, journal=RunState(tmp_path / "journal"))
    (first.folder / "shard-00001.json").unlink()  # killed before the shard was finished
    damaged = first.folder / "shard-00002.arrow"
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"123456789")
    kept = (first.folder / "shard-00000.arrow").stat().st_mtime_ns
    again = scan(tmp_path, journal=RunState(tmp_path / "journal"))
    assert again.rows.equals(first.rows)
    assert again.shards == first.shards
    assert (first.folder / "shard-00000.arrow").stat().st_mtime_ns == kept


def test_nothing_is_opened_again_where_nothing_changed(tmp_path: Path, monkeypatch) -> None:
    first = scan(tmp_path, journal=RunState(tmp_path / "journal"))
    monkeypatch.setattr(scanning, "scan_shard", None)
    monkeypatch.setattr(scanning, "fingerprint", lambda *_: first_mark)
    first_mark = (first.folder / ".fingerprint").read_text()
    assert scan(tmp_path, journal=RunState(tmp_path / "journal")).rows.equals(first.rows)


@pytest.mark.parametrize(
    "config", [IngestConfig(shard_images=4), IngestConfig(image_rules={"short_side": 32})]
)
def test_another_rule_or_another_archive_starts_anew(tmp_path: Path, config: IngestConfig) -> None:
    journal = RunState(tmp_path / "journal")
    mark = (scan(tmp_path, journal=journal).folder / ".fingerprint").read_text()
    assert (
        scan(tmp_path, config=config, journal=journal).folder / ".fingerprint"
    ).read_text() != mark
    other = {**FILES, "3.jpg": jpeg(77)}
    found = scan(tmp_path / "b", other, journal=journal)
    assert found.rows["sha256"][3] == hashlib.sha256(other["3.jpg"]).hexdigest()


def test_too_many_unusable_images_stop_the_run(tmp_path: Path) -> None:
    files = {**FILES, "1.jpg": b"", "5.jpg": b"<html>"}
    assert len(scan(tmp_path, files, IngestConfig(max_quarantine_share=0.25)).rows) == 6
    with pytest.raises(UserFacingError, match=r"2 of 8 .* 24\.0%.*i/1\.jpg: empty.*max_quarantine"):
        scan(tmp_path, files, IngestConfig(max_quarantine_share=0.24))


def test_listed_images_that_are_missing_count_against_the_limit(tmp_path: Path) -> None:
    listing = Listing(
        "flickr8k", (), (RejectedFile("x.jpg", "", "missing", "has captions, no image"),)
    )
    with pytest.raises(UserFacingError, match=r"1 of 1 images cannot be used.*x\.jpg: missing"):
        scan_corpus(zipped(tmp_path / "s", FILES), listing, CONFIG, RunState())


def test_thumbnails_are_16_by_16_grey_means(tmp_path: Path) -> None:
    flat = encoded(Image.new("RGB", (64, 48), (90, 90, 90)), quality=95)
    grey = thumbnails(scan(tmp_path, {**FILES, "0.jpg": flat}).rows)
    assert grey.shape == (8, 256)
    assert grey.dtype == np.uint8
    assert np.abs(grey[0].astype(int) - 90).max() <= 1


def test_facts_are_plain_json(tmp_path: Path) -> None:
    folder = scan(tmp_path).folder
    facts = json.loads((folder / "shard-00002.json").read_text())
    assert facts["kept"]["image"] == ["i/6.jpg", "i/7.jpg"]
