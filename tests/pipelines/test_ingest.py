"""The ingest and download pipelines with the project's catalog and parameters."""

import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.data.splits import make_splits
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.ingest.config import IngestConfig
from sports_clip_pipeline.pipelines.ingest.nodes import download_corpora
from sports_clip_pipeline.pipelines.ingest.pipeline import create_pipeline
from tests.conftest import ROOT, config_loader
from tests.data.conftest import CAPTIONS, configure, make_zip, md5
from tests.data.factories import Files, flickr8k, jpeg, kaggle, unpacked, zipped
from tests.data.faulty_server import running

BANK = ClassBank(
    templates="a photo of {}.",
    classes=[{"label": label, "names": label} for label in ("chess", "tennis")],
)


def catalog_over(folder: Path, config: IngestConfig | None = None) -> DataCatalog:
    """The project's catalog with raw data in `folder`/raw and outputs in `folder`/data."""
    ours = yaml.safe_load((ROOT / "conf/base/catalog_ingest.yml").read_text())
    everything = config_loader(raw_dir=str(folder / "raw"))["catalog"]
    entries: dict[str, dict[str, Any]] = {name: everything[name] for name in ours}
    for entry in entries.values():
        if entry["filepath"].startswith("data/"):
            entry["filepath"] = str(folder / entry["filepath"])
    catalog = DataCatalog.from_config(entries)
    catalog["params:ingest"] = config or IngestConfig(workers=1)
    catalog["params:class_bank"] = BANK
    return catalog


def run(folder: Path, config: IngestConfig | None = None) -> DataCatalog:
    catalog = catalog_over(folder, config)
    SequentialRunner().run(create_pipeline(), catalog)
    return catalog


def write_corpora(folder: Path, write=zipped, sports: Files | None = None) -> Path:
    write(folder / "raw" / "flickr8k", flickr8k(20))
    write(folder / "raw" / "sports", sports or kaggle({"chess": 10, "tennis": 10}, 5))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_corpora(tmp_path)


def test_a_run_writes_every_output(folder: Path) -> None:
    catalog = run(folder)
    for corpus, images in (("flickr8k", 20), ("sports", 25)):
        assert len(catalog.load(f"{corpus}_images")) == len(catalog.load(f"{corpus}_manifest"))
        assert len(catalog.load(f"{corpus}_manifest")) == images
    assert len(catalog.load("quarantine")) == len(catalog.load("duplicates")) == 0
    assert catalog.load("submission_order")["image"].tolist() == [
        f"{k}.jpg" for k in (1024, 1023, 1022, 1021, 1020)
    ]
    splits = catalog.load("splits")
    counts = {"development": 16, "unlabelled": 5, "test": 4}
    assert splits["split"].value_counts().to_dict() == counts
    audit = catalog.load("ingest_audit")
    assert len(audit["data_digest"]) == 64
    again = make_splits(catalog.load("sports_manifest"), BANK.labels)
    assert again["split"].tolist() == splits["split"].tolist()


def test_a_second_run_gives_the_same_bytes_and_opens_no_image(folder: Path, monkeypatch) -> None:
    run(folder)
    outputs = [p for p in (folder / "data").rglob("*") if p.is_file() and "02_" not in str(p)]
    before = {path: (path.read_bytes(), path.stat().st_ino) for path in outputs}

    def read_lists_only(archive, name: str) -> bytes:
        assert name.endswith((".csv", ".txt")), f"{name} is read again"
        return zipfile.ZipFile(archive.path).read(name)

    monkeypatch.setattr("sports_clip_pipeline.data.archives.Archive.read", read_lists_only)
    run(folder)
    assert {path: path.read_bytes() for path in outputs} == {p: b for p, (b, _) in before.items()}
    stores = [path for path in outputs if "_images" in str(path)]
    assert all(path.stat().st_ino == before[path][1] for path in stores)


def test_packed_and_unpacked_corpora_give_the_same_tables(folder: Path, tmp_path_factory) -> None:
    other = write_corpora(tmp_path_factory.mktemp("unpacked"), unpacked)
    first, second = run(folder), run(other)
    for table in ("flickr8k_manifest", "sports_manifest", "splits"):
        assert first.load(table).to_json() == second.load(table).to_json()
    digests = {catalog.load("ingest_audit")["data_digest"] for catalog in (first, second)}
    assert len(digests) == 1


def test_a_killed_run_keeps_its_finished_shards(folder: Path, monkeypatch) -> None:
    config = IngestConfig(workers=1, shard_images=5)
    from sports_clip_pipeline.data import ingest

    real, calls = ingest.scan_shard, []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    # The fingerprint must not depend on the patched function.
    monkeypatch.setattr(ingest, "fingerprint", lambda *parts: f"code-{parts[0][:8]}")
    monkeypatch.setattr(ingest, "scan_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        run(folder, config)
    assert not (folder / "data" / "03_primary").exists()
    run(folder, config)
    assert len(calls) == 3 + 2 + 5  # two of the four shards are reused


def test_a_missing_archive_is_one_line_and_nothing_is_written(folder: Path) -> None:
    (folder / "raw" / "sports.zip").unlink()
    with pytest.raises(Exception, match=r"sports\.zip: there is no such file"):
        run(folder)
    assert not (folder / "data" / "03_primary").exists()


def test_an_unknown_label_is_an_error_and_earlier_outputs_stay(folder: Path) -> None:
    run(folder)
    shutil.rmtree(folder / "raw")
    write_corpora(folder, sports=kaggle({"chess": 3, "darts": 3, "tennis": 3}, 1))
    with pytest.raises(UserFacingError, match="darts"):
        run(folder)
    assert len(catalog_over(folder).load("sports_images")) == 25


def test_a_labelled_corpus_of_class_folders_has_no_unlabelled_split(folder: Path) -> None:
    (folder / "raw" / "sports.zip").unlink()
    files = {
        f"{label}/{seed}.jpg": jpeg(2000 + seed)
        for label, seeds in (("chess", range(10)), ("tennis", range(10, 20)))
        for seed in seeds
    }
    unpacked(folder / "raw" / "sports", files)
    catalog = run(folder)
    assert len(catalog.load("submission_order")) == 0
    assert set(catalog.load("splits")["split"]) == {"development", "test"}


def test_download_fills_the_raw_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    content = make_zip({"Flicker8k_Dataset/a.jpg": b"A", "Flickr8k.token.txt": CAPTIONS})
    with running() as server:
        url = server.serve("/all.zip", content)
        config = configure([{"name": "all.zip", "checksum": md5(content), "mirrors": [url]}])
        receipt = download_corpora(config, tmp_path, RunState())
    assert [row["file"] for row in receipt["files"]] == ["all.zip"]
    assert (tmp_path / "flickr8k" / "Flicker8k_Dataset" / "a.jpg").exists()
