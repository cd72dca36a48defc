import hashlib
from pathlib import Path

import pytest
from PIL import Image

from sports_clip_pipeline.data import ingest
from sports_clip_pipeline.data.flickr8k import list_flickr8k
from sports_clip_pipeline.data.ingest import (
    Scan,
    audit,
    close_store,
    manifest_of,
    resolve_duplicates,
    scan_corpus,
)
from sports_clip_pipeline.data.labelled import list_sports
from sports_clip_pipeline.data.listing import Entry, Listing, RejectedFile
from sports_clip_pipeline.data.splits import make_splits
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.schemas import (
    CaptionedManifest,
    Duplicates,
    LabelledManifest,
    Quarantine,
    Splits,
)
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.ingest.config import IngestConfig
from tests.data.factories import Files, encoded, flickr8k, jpeg, kaggle, random_image, zipped

SCAN_CONFIG = IngestConfig(shard_images=3, workers=1, max_quarantine_share=0.5)
NAMES = [f"{k}.jpg" for k in range(8)]
FILES: Files = {name: jpeg(k, 60 + k) for k, name in enumerate(NAMES)}
LISTING = Listing("sports", tuple(Entry(f"i/{n}", n, "train", "chess") for n in NAMES))


def scan(
    folder: Path, files: Files = FILES, config: IngestConfig = SCAN_CONFIG, state=None
) -> Scan:
    return scan_corpus(zipped(folder / "s", files), LISTING, config, state or RunState())


def test_facts_of_an_image(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    content = encoded(random_image(9, 64, 48), exif=turned)
    row = scan(tmp_path, {**FILES, "4.jpg": content}).rows.iloc[4]
    assert (row["image"], row["path"], row["label"]) == ("i/4.jpg", "4.jpg", "chess")
    assert (row["width"], row["height"]) == (48, 64)
    assert row["sha256"] == hashlib.sha256(content).hexdigest() != row["stored_sha256"]
    assert (row["shard"], row["row"]) == (1, 1)


def test_rows_follow_the_listing_and_unusable_images_are_quarantined(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "s", {**FILES, "1.jpg": b"", "5.jpg": b"<html>"})
    path = tmp_path / "s.zip"
    path.write_bytes(path.read_bytes().replace(FILES["2.jpg"][-90:-50], b"\0" * 40))
    found = scan_corpus(archive, LISTING, SCAN_CONFIG, RunState())
    assert found.rows["path"].tolist() == [f"{k}.jpg" for k in (0, 3, 4, 6, 7)]
    assert found.rows["shard"].tolist() == [0, 1, 1, 2, 2]
    assert found.rows["row"].tolist() == [0, 0, 1, 0, 1]
    assert [shard["rows"] for shard in found.shards] == [1, 2, 2]
    assert found.quarantine[["corpus", "image", "path", "reason"]].to_numpy().tolist() == [
        ["sports", "i/1.jpg", "1.jpg", "empty"],
        ["sports", "i/2.jpg", "2.jpg", "damaged"],
        ["sports", "i/5.jpg", "5.jpg", "not_an_image"],
    ]


def test_processes_give_the_same_result_as_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(ingest, "_MAX_IMAGES_IN_PROCESS", 0)
    alone = scan(tmp_path / "a")
    both = scan(tmp_path / "b", config=IngestConfig(shard_images=3, workers=2))
    assert alone.rows.equals(both.rows)
    assert alone.shards == both.shards


def test_killed_scan_resumes_from_the_finished_shards(tmp_path: Path) -> None:
    first = scan(tmp_path, state=RunState(tmp_path / "state"))
    (first.folder / "shard-00001.json").unlink()  # killed before the shard was finished
    damaged = first.folder / "shard-00002.arrow"
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"123456789")
    written_ns = (first.folder / "shard-00000.arrow").stat().st_mtime_ns
    again = scan(tmp_path, state=RunState(tmp_path / "state"))
    assert again.rows.equals(first.rows)
    assert again.shards == first.shards
    assert (first.folder / "shard-00000.arrow").stat().st_mtime_ns == written_ns


def test_unchanged_corpus_is_not_decoded_again(tmp_path: Path, monkeypatch) -> None:
    first = scan(tmp_path, state=RunState(tmp_path / "state"))
    fingerprint = (first.folder / ".fingerprint").read_text()
    monkeypatch.setattr(ingest, "scan_shard", lambda *_: pytest.fail("decoded again"))
    monkeypatch.setattr(ingest, "fingerprint", lambda *_: fingerprint)
    assert scan(tmp_path, state=RunState(tmp_path / "state")).rows.equals(first.rows)


@pytest.mark.parametrize(
    "config", [IngestConfig(shard_images=4), IngestConfig(image_rules={"short_side": 32})]
)
def test_changed_rules_or_archive_start_anew(tmp_path: Path, config: IngestConfig) -> None:
    state = RunState(tmp_path / "state")
    first = (scan(tmp_path, state=state).folder / ".fingerprint").read_text()
    second = (scan(tmp_path, config=config, state=state).folder / ".fingerprint").read_text()
    assert first != second
    other = {**FILES, "3.jpg": jpeg(77)}
    found = scan(tmp_path / "b", other, state=state)
    assert found.rows["sha256"][3] == hashlib.sha256(other["3.jpg"]).hexdigest()


def test_too_many_unusable_images_stop_the_run(tmp_path: Path) -> None:
    files = {**FILES, "1.jpg": b"", "5.jpg": b"<html>"}
    assert len(scan(tmp_path, files, IngestConfig(max_quarantine_share=0.25)).rows) == 6
    with pytest.raises(UserFacingError, match=r"2 of 8 .* 24\.0%.*i/1\.jpg: empty.*max_quarantine"):
        scan(tmp_path, files, IngestConfig(max_quarantine_share=0.24))


def test_missing_images_count_against_the_limit(tmp_path: Path) -> None:
    missing = RejectedFile("x.jpg", "", "missing", "has captions, no image")
    listing = Listing("flickr8k", (), (missing,))
    with pytest.raises(UserFacingError, match=r"1 of 1 images cannot be used.*x\.jpg: missing"):
        scan_corpus(zipped(tmp_path / "s", FILES), listing, SCAN_CONFIG, RunState())


LABELS = ("chess", "tennis")
CONFIG = IngestConfig(shard_images=7, workers=1, max_quarantine_share=0.2)


def scan_both(folder: Path, first: Files, second: Files) -> tuple[Scan, Scan]:
    captioned, labelled = zipped(folder / "flickr8k", first), zipped(folder / "sports", second)
    return (
        scan_corpus(captioned, list_flickr8k(captioned), CONFIG, RunState()),
        scan_corpus(labelled, list_sports(labelled, LABELS, CONFIG.labelled), CONFIG, RunState()),
    )


def corpora_with_duplicates() -> tuple[Files, Files]:
    """24 captioned, 10 + 10 labelled and 4 test images, with known duplicates and a bad file.

    Labelled: 1000..1009 chess, 1010..1019 tennis; test: 1020..1023.
    """
    first, second = flickr8k(24), kaggle({"chess": 10, "tennis": 10}, tests=4)
    train, test = "train/train/{}.jpg".format, "test/test/{}.jpg".format
    second[train(1001)] = second[train(1000)]  # same label: both are kept
    second[train(1011)] = second[train(1002)]  # two labels: both are quarantined
    second[train(1003)] = encoded(random_image(1020), quality=60)  # near a test image: dropped
    second[train(1012)] = b"<html>"
    first["Images/105_abc.jpg"] = second[train(1004)]  # captioned and labelled: dropped
    second[test(1022)] = second[test(1021)]  # two test images: both are kept
    return first, second


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory):
    both = scan_both(tmp_path_factory.mktemp("duplicates"), *corpora_with_duplicates())
    return both, resolve_duplicates(*both, CONFIG)


def test_every_duplicate_gets_its_action(resolved) -> None:
    _, (_, quarantine, duplicates) = resolved
    table = duplicates.sort_values(["corpus", "image"])
    assert table[["image", "kind", "action"]].to_numpy().tolist() == [
        ["105_abc.jpg", "exact", "dropped"],
        ["1000.jpg", "exact", "kept"],
        ["1001.jpg", "exact", "kept"],
        ["1002.jpg", "exact", "quarantined"],
        ["1003.jpg", "near", "dropped"],
        ["1004.jpg", "exact", "kept"],
        ["1011.jpg", "exact", "quarantined"],
        ["1020.jpg", "near", "kept"],
        ["1021.jpg", "exact", "kept"],
        ["1022.jpg", "exact", "kept"],
    ]
    assert quarantine[["image", "reason", "detail"]].to_numpy().tolist() == [
        ["1012.jpg", "not_an_image", "starts with b'<html>'"],
        ["1002.jpg", "conflicting_labels", "chess / tennis"],
        ["1011.jpg", "conflicting_labels", "chess / tennis"],
    ]


def test_row_i_of_a_manifest_is_row_i_of_its_store(resolved) -> None:
    both, (images, *_) = resolved
    for one in both:
        store, manifest = close_store(one, images), manifest_of(one.corpus, images)
        digests = [hashlib.sha256(store.get_bytes(i)).hexdigest() for i in range(len(store))]
        assert digests == manifest["stored_sha256"].tolist()
    assert len(manifest) == 24 - 4


def test_splits_are_made_if_none_are_published_and_hold_out_no_shared_image(resolved) -> None:
    images = resolved[1][0]
    manifest = manifest_of("flickr8k", images)
    assert manifest["split"].value_counts().to_dict() == {"train": 17, "validation": 3, "test": 3}
    assert images.loc[images["image"] == "105_abc.jpg", "split"].item() == "train"


def test_tables_match_their_schemas(resolved) -> None:
    images, quarantine, duplicates = resolved[1]
    CaptionedManifest.validate(manifest_of("flickr8k", images))
    LabelledManifest.validate(manifest_of("sports", images))
    Quarantine.validate(quarantine)
    Duplicates.validate(duplicates)
    Splits.validate(make_splits(manifest_of("sports", images), LABELS))


def test_audit_counts(resolved) -> None:
    splits = make_splits(manifest_of("sports", resolved[1][0]), LABELS)
    document = audit(resolved[1], splits, {"a": "b"}, CONFIG)
    assert document["images"]["sports"] == {"total": 20, "train": 16, "test": 4}
    assert document["captions"] == 46
    assert document["classes"] == {"chess": 8, "tennis": 8}
    assert document["splits"] == {"development": 12, "test": 4, "unlabelled": 4}
    assert document["quarantine"]["by_reason"] == {"conflicting_labels": 2, "not_an_image": 1}
    assert document["duplicates"]["groups"] == 5
    assert document["duplicates"]["by_kind"] == {"exact": 8, "near": 2}
    assert document["duplicates"]["by_action"] == {"dropped": 2, "kept": 6, "quarantined": 2}
    assert document["duplicates"]["dropped_by_corpus"] == {"flickr8k": 1, "sports": 1}
