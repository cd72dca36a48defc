"""The pipeline's wiring, its configuration files and its node."""

from __future__ import annotations

import subprocess
import sys
import typing
from pathlib import Path

import yaml

from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.ingest.config import DownloadConfig
from sports_clip_pipeline.pipelines.ingest.nodes import download_corpora
from sports_clip_pipeline.pipelines.ingest.pipeline import create_download_pipeline
from tests.data.conftest import CAPTIONS, configure, make_zip, md5
from tests.data.faulty_server import running

BASE = Path(__file__).parents[2] / "conf" / "base"


def test_every_dataset_stands_in_the_catalog_with_its_layer():
    catalog = yaml.safe_load((BASE / "catalog_ingest.yml").read_text())
    names = {
        name for name in create_download_pipeline().datasets() if not name.startswith("params:")
    }
    assert names <= set(catalog)
    assert all(catalog[name]["metadata"]["kedro-viz"]["layer"] for name in names)


def test_the_committed_parameters_are_valid_and_every_mirror_checked():
    block = yaml.safe_load((BASE / "parameters_download.yml").read_text())["download"]
    config = DownloadConfig(**{**block, "study": "real"})
    assert block["study"] == "${globals:study}"
    assert config.corpora == ("flickr8k", "sports")
    for archive in config.flickr8k_archives:
        assert archive.checksum is not None
        assert all(url.endswith(f"/{archive.name}") for url in archive.mirrors)


def test_the_hints_of_the_node_resolve():
    hints = typing.get_type_hints(download_corpora)
    assert hints["config"] is DownloadConfig


def test_the_node_fills_the_raw_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    content = make_zip({"Flicker8k_Dataset/a.jpg": b"A", "Flickr8k.token.txt": CAPTIONS})
    with running() as server:
        url = server.serve("/all.zip", content)
        config = configure([{"name": "all.zip", "checksum": md5(content), "mirrors": [url]}])
        receipt = download_corpora(config, tmp_path, RunState())
    assert [row["file"] for row in receipt["files"]] == ["all.zip"]
    assert (tmp_path / "flickr8k" / "Flicker8k_Dataset" / "a.jpg").exists()


def test_wiring_imports_neither_requests_nor_kagglehub_nor_pooch():
    code = (
        "import sys, sports_clip_pipeline.pipelines.ingest.pipeline\n"
        "print(sorted({'requests', 'kagglehub', 'pooch', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
