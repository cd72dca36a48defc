"""The ingest pipeline, run by Kedro on the project's own catalog and parameters."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.data.splits import make_splits
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.ingest.config import IngestConfig
from sports_clip_pipeline.pipelines.ingest.pipeline import create_pipeline
from tests.data.factories import Files, flickr8k, jpeg, kaggle, unpacked, zipped

CONF = Path(__file__).parents[2] / "conf"
BANK = ClassBank(
    templates="a photo of {}.",
    classes=[{"label": label, "names": label} for label in ("chess", "tennis")],
)


def catalog_over(place: Path, config: IngestConfig | None = None) -> DataCatalog:
    """The project's catalog with raw data in `place`/raw and outputs in `place`/data."""
    loader = OmegaConfigLoader(
        str(CONF),
        base_env="base",
        default_run_env="base",
        runtime_params={"raw_dir": str(place / "raw")},
    )
    ours = yaml.safe_load((CONF / "base" / "catalog_ingest.yml").read_text())
    entries: dict[str, dict[str, Any]] = {name: loader["catalog"][name] for name in ours}
    for entry in entries.values():
        if entry["filepath"].startswith("data/"):
            entry["filepath"] = str(place / entry["filepath"])
    catalog = DataCatalog.from_config(entries)
    catalog["params:ingest"] = config or IngestConfig(workers=1)
    catalog["params:class_bank"] = BANK
    return catalog


def run(place: Path, config: IngestConfig | None = None) -> DataCatalog:
    catalog = catalog_over(place, config)
    SequentialRunner().run(create_pipeline(), catalog)
    return catalog


def put(place: Path, make=zipped, sports: Files | None = None) -> None:
    make(place / "raw" / "flickr8k", flickr8k(20))
    make(place / "raw" / "sports", sports or kaggle({"chess": 10, "tennis": 10}, 5))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    put(tmp_path)
    return tmp_path


def test_a_run_leaves_every_promised_output(place: Path) -> None:
    catalog = run(place)
    for corpus, images in (("flickr8k", 20), ("sports", 25)):
        assert len(catalog.load(f"{corpus}_images")) == len(catalog.load(f"{corpus}_manifest"))
        assert len(catalog.load(f"{corpus}_manifest")) == images
    assert len(catalog.load("quarantine")) == len(catalog.load("duplicates")) == 0
    assert catalog.load("submission_order")["image"].tolist() == [
        f"{k}.jpg" for k in (1024, 1023, 1022, 1021, 1020)
    ]
    splits = catalog.load("splits")
    assert splits["split"].value_counts().to_dict() == {
        "development": 16,
        "unlabelled": 5,
        "test": 4,
    }
    audit = catalog.load("ingest_audit")
    assert len(audit["data_digest"]) == 64
    again = make_splits(catalog.load("sports_manifest"), BANK.labels)
    assert again["split"].tolist() == splits["split"].tolist()


def test_a_second_run_gives_the_same_bytes_and_opens_no_image(place: Path, monkeypatch) -> None:
    run(place)
    outputs = [p for p in (place / "data").rglob("*") if p.is_file() and "02_" not in str(p)]
    before = {path: (path.read_bytes(), path.stat().st_ino) for path in outputs}
    monkeypatch.setattr("sports_clip_pipeline.data.archives.Archive.read", _only_lists)
    run(place)
    assert {path: path.read_bytes() for path in outputs} == {p: b for p, (b, _) in before.items()}
    stores = [path for path in outputs if "_images" in str(path)]
    assert all(path.stat().st_ino == before[path][1] for path in stores)


def _only_lists(archive, name: str) -> bytes:
    assert name.endswith((".csv", ".txt")), f"{name} was opened again"
    import zipfile

    return zipfile.ZipFile(archive.path).read(name)


def test_packed_and_unpacked_corpora_give_the_same_tables(place: Path, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("unpacked")
    put(other, unpacked)
    first, second = run(place), run(other)
    for table in ("flickr8k_manifest", "sports_manifest", "splits"):
        assert first.load(table).to_json() == second.load(table).to_json()
    digests = {catalog.load("ingest_audit")["data_digest"] for catalog in (first, second)}
    assert len(digests) == 1


def test_a_killed_run_keeps_its_finished_shards(place: Path, monkeypatch) -> None:
    config = IngestConfig(workers=1, shard_images=5)
    from sports_clip_pipeline.data import ingest

    real, calls = ingest.scan_shard, []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    # Kept out of the fingerprint, as a kill leaves the code as it is.
    monkeypatch.setattr(ingest, "fingerprint", lambda *parts: f"code-{parts[0][:8]}")
    monkeypatch.setattr(ingest, "scan_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        run(place, config)
    assert not (place / "data" / "03_primary").exists()
    run(place, config)
    assert len(calls) == 3 + 2 + 5  # the two finished shards of the four are not made again


def test_a_missing_archive_is_one_line_and_nothing_is_written(place: Path) -> None:
    (place / "raw" / "sports.zip").unlink()
    with pytest.raises(Exception, match=r"sports\.zip: there is no such file"):
        run(place)
    assert not (place / "data" / "03_primary").exists()


def test_a_bad_label_stops_the_run_and_what_was_finished_stays(place: Path) -> None:
    run(place)
    shutil.rmtree(place / "raw")
    put(place, sports=kaggle({"chess": 3, "darts": 3, "tennis": 3}, 1))
    with pytest.raises(UserFacingError, match="darts"):
        run(place)
    assert len(catalog_over(place).load("sports_images")) == 25


def test_a_labelled_corpus_of_class_folders_has_no_test_part(place: Path) -> None:
    (place / "raw" / "sports.zip").unlink()
    files = {
        f"{label}/{seed}.jpg": jpeg(2000 + seed)
        for label, seeds in (("chess", range(10)), ("tennis", range(10, 20)))
        for seed in seeds
    }
    unpacked(place / "raw" / "sports", files)
    catalog = run(place)
    assert len(catalog.load("submission_order")) == 0
    assert set(catalog.load("splits")["split"]) == {"development", "test"}


def test_every_hint_of_a_node_resolves_at_run_time() -> None:
    import typing

    for node in create_pipeline().nodes:
        assert typing.get_type_hints(node.func)
