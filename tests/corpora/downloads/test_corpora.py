"""Both corpora into a raw folder, and what a second run does."""

from __future__ import annotations

import hashlib
import logging

import pytest

from sports_clip_pipeline.corpora.downloads.assemble import measure
from sports_clip_pipeline.corpora.downloads.corpora import download_corpora
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.pipelines.download.config import RemoteArchive
from tests.corpora.downloads.conftest import CAPTIONS, configure, make_zip, md5
from tests.corpora.downloads.test_kaggle import FakeKaggle, answered

PHOTOS = make_zip({"Flicker8k_Dataset/a.jpg": b"A", "Flicker8k_Dataset/b.jpg": b"B"})
TEXTS = make_zip({"Flickr8k.token.txt": CAPTIONS})


@pytest.fixture
def config(server):
    """Both corpora, Flickr8k from the local server."""
    archives = [
        RemoteArchive(
            name="photos.zip", checksum=md5(PHOTOS), mirrors=[server.serve("/photos.zip", PHOTOS)]
        ),
        RemoteArchive(
            name="texts.zip", checksum=md5(TEXTS), mirrors=[server.serve("/texts.zip", TEXTS)]
        ),
    ]
    return configure(archives, corpora="flickr8k+sports")


def test_both_corpora_come_with_a_receipt(config, tmp_path):
    receipt = download_corpora(config, tmp_path, Journal(), FakeKaggle())
    rows = receipt["files"]
    assert [(row["corpus"], row["file"]) for row in rows] == [
        ("flickr8k", "photos.zip"),
        ("flickr8k", "texts.zip"),
        ("sports", "sports/"),
    ]
    assert rows[0]["sha256"] == hashlib.sha256(PHOTOS).hexdigest()
    assert rows[0]["bytes"] == len(PHOTOS)
    assert rows[0]["url"] == config.flickr8k_archives[0].mirrors[0]
    assert rows[0]["licence"] == "For research only."
    assert rows[2]["url"] == "https://www.kaggle.com/competitions/some-sports"
    assert (rows[2]["sha256"], rows[2]["bytes"]) == measure(tmp_path / "sports")
    assert (tmp_path / "flickr8k" / "Flicker8k_Dataset" / "b.jpg").read_bytes() == b"B"


def test_a_second_run_asks_nobody_and_gives_the_same_receipt(config, server, tmp_path):
    first = download_corpora(config, tmp_path, Journal(), FakeKaggle())
    kaggle = FakeKaggle()
    assert download_corpora(config, tmp_path, Journal(), kaggle) == first
    assert len(server.log) == 2
    assert kaggle.calls == []


def test_licences_are_shown_before_the_first_request(config, server, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    server.files.clear()
    with pytest.raises(UserFacingError):
        download_corpora(config, tmp_path, Journal(), FakeKaggle())
    shown = [record.getMessage() for record in caplog.records]
    assert "For research only." in shown[0]
    assert "photos.zip" in shown[1]


def test_archives_are_dropped_on_demand_and_still_accounted_for(config, tmp_path):
    lean = configure(list(config.flickr8k_archives), keep_archives=False)
    first = download_corpora(lean, tmp_path, Journal())
    assert not list((tmp_path / "downloads").glob("*.zip"))
    assert download_corpora(lean, tmp_path, Journal()) == first


def test_corpora_placed_by_hand_stay_as_they_are(config, server, tmp_path):
    (tmp_path / "flickr8k.zip").write_bytes(PHOTOS)
    (tmp_path / "sports").mkdir()
    (tmp_path / "sports" / "mine.csv").write_text("x")
    rows = download_corpora(config, tmp_path, Journal(), FakeKaggle())["files"]
    assert [(row["file"], row["url"]) for row in rows] == [
        ("flickr8k.zip", None),
        ("sports/", None),
    ]
    assert server.log == []
    assert (tmp_path / "sports" / "mine.csv").exists()


def test_flickr8k_stays_where_kaggle_refuses(config, tmp_path):
    with pytest.raises(UserFacingError, match="rules"):
        download_corpora(config, tmp_path, Journal(), FakeKaggle(answered(403)))
    assert (tmp_path / "flickr8k" / "Flickr8k.token.txt").exists()
    assert not (tmp_path / "sports").exists()


def test_the_sample_study_is_not_filled_with_photographs(tmp_path):
    with pytest.raises(UserFacingError, match="add --env=real"):
        download_corpora(configure(study="sample"), tmp_path, Journal())
    assert list(tmp_path.iterdir()) == []
