from __future__ import annotations

from pathlib import Path

import pytest

from sports_clip_pipeline.data.flickr8k import list_flickr8k
from sports_clip_pipeline.data.ingest import (
    audit,
    close_store,
    data_digest,
    resolve_duplicates,
    scan_corpus,
)
from sports_clip_pipeline.data.labelled import list_sports
from sports_clip_pipeline.data.splits import make_splits
from sports_clip_pipeline.io.schemas import (
    CaptionedManifest,
    Duplicates,
    LabelledManifest,
    Quarantine,
    Splits,
)
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.ingest.config import IngestConfig
from tests.data.factories import Files, encoded, flickr8k, jpeg, kaggle, picture, unpacked, zipped

LABELS = ("chess", "tennis")
CONFIG = IngestConfig(shard_images=7, workers=1, max_quarantine_share=0.2)


def scans(place: Path, first: Files, second: Files, make=zipped):
    captioned, labelled = make(place / "flickr8k", first), make(place / "sports", second)
    return (
        scan_corpus(captioned, list_flickr8k(captioned), CONFIG, RunState()),
        scan_corpus(labelled, list_sports(labelled, LABELS), CONFIG, RunState()),
    )


def messy() -> tuple[Files, Files]:
    """24 captioned, 10 + 10 labelled and 4 test images, with known twins and dirt.

    Labelled: 1000..1009 chess, 1010..1019 tennis; test: 1020..1023.
    """
    first, second = flickr8k(24), kaggle({"chess": 10, "tennis": 10}, tests=4)
    train, test = "train/train/{}.jpg".format, "test/test/{}.jpg".format
    second[train(1001)] = second[train(1000)]  # same label: both stay
    second[train(1011)] = second[train(1002)]  # two labels: both go to quarantine
    second[train(1003)] = encoded(picture(1020), quality=60)  # near twin of a test image: dropped
    second[train(1012)] = b"<html>"
    first["Images/105_abc.jpg"] = second[train(1004)]  # captioned twin of a labelled one: dropped
    second[test(1022)] = second[test(1021)]  # two test images: both stay
    return first, second


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory):
    both = scans(tmp_path_factory.mktemp("messy"), *messy())
    return both, resolve_duplicates(*both, CONFIG)


def test_every_duplicate_gets_its_verdict(resolved) -> None:
    table = resolved[1].duplicates.sort_values(["corpus", "image"])
    facts = table[["image", "kind", "action"]].to_numpy().tolist()
    assert facts == [
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


def test_the_quarantine_names_reason_and_detail(resolved) -> None:
    facts = resolved[1].quarantine[["image", "reason", "detail"]].to_numpy().tolist()
    assert facts == [
        ["1012.jpg", "not_an_image", "starts with b'<html>'"],
        ["1002.jpg", "conflicting_labels", "chess / tennis"],
        ["1011.jpg", "conflicting_labels", "chess / tennis"],
    ]


def test_row_i_of_a_manifest_is_row_i_of_its_store(resolved) -> None:
    import hashlib

    both, result = resolved
    for scan in both:
        store, manifest = close_store(scan, result.images), result.manifest(scan.corpus)
        assert len(store) == len(manifest)
        for i, stored in enumerate(manifest["stored_sha256"]):
            assert hashlib.sha256(store.get_bytes(i)).hexdigest() == stored
        store.verify()
    assert len(manifest) == 24 - 4


def test_unpublished_splits_are_made_and_hold_out_no_shared_image(resolved) -> None:
    manifest = resolved[1].manifest("flickr8k")
    assert manifest["split"].value_counts().to_dict() == {"train": 17, "validation": 3, "test": 3}
    images = resolved[1].images
    assert images.loc[images["image"] == "105_abc.jpg", "split"].item() == "train"


def test_the_tables_fit_their_schemas(resolved) -> None:
    result = resolved[1]
    CaptionedManifest.validate(result.manifest("flickr8k"))
    LabelledManifest.validate(result.manifest("sports"))
    Quarantine.validate(result.quarantine)
    Duplicates.validate(result.duplicates)
    Splits.validate(make_splits(result.manifest("sports"), LABELS))


def test_the_audit_counts_what_happened(resolved) -> None:
    result = resolved[1]
    document = audit(result, make_splits(result.manifest("sports"), LABELS), {"a": "b"}, CONFIG)
    assert document["images"]["sports"] == {"total": 20, "train": 16, "test": 4}
    assert document["captions"] == 46
    assert document["classes"] == {"chess": 8, "tennis": 8}
    assert document["parts"] == {"development": 12, "evaluation": 4, "unlabelled": 4}
    assert document["quarantine"]["by_reason"] == {"conflicting_labels": 2, "not_an_image": 1}
    assert document["duplicates"]["groups"] == 5
    assert document["duplicates"]["by_kind"] == {"exact": 8, "near": 2}
    assert document["duplicates"]["by_action"] == {"dropped": 2, "kept": 6, "quarantined": 2}
    assert document["duplicates"]["dropped_by_corpus"] == {"flickr8k": 1, "sports": 1}


def test_the_digest_of_the_data_is_the_same_packed_and_unpacked(resolved, tmp_path: Path) -> None:
    images = resolved[1].images
    kept = images[images["action"] == "kept"]
    other = resolve_duplicates(*scans(tmp_path, *messy(), make=unpacked), CONFIG).images
    assert data_digest(kept) == data_digest(other[other["action"] == "kept"])
    assert data_digest(kept) != data_digest(kept.iloc[1:])


def test_corpora_without_any_duplicate_are_settled_too(tmp_path: Path) -> None:
    result = resolve_duplicates(
        *scans(tmp_path, flickr8k(12), kaggle({"chess": 2, "tennis": 2}, 0)), CONFIG
    )
    assert len(result.duplicates) == len(result.quarantine) == 0
    Duplicates.validate(result.duplicates)
    Quarantine.validate(result.quarantine)
    assert (result.images["action"] == "kept").all()
    assert jpeg(0) != jpeg(1)
