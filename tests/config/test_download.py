"""The `download` block: what it accepts, and the messages for what it refuses."""

from __future__ import annotations

import pytest

from sports_clip_pipeline.config.download import RemoteArchive
from sports_clip_pipeline.errors import UserFacingError
from tests.corpora.downloads.conftest import configure

ARCHIVE = {"name": "a.zip", "checksum": None, "mirrors": ["https://example.org/a.zip"]}


def test_nested_blocks_become_archives():
    config = configure([ARCHIVE])
    expected = RemoteArchive("a.zip", None, ("https://example.org/a.zip",))
    assert config.flickr8k_archives == (expected,)


def test_corpora_are_written_with_a_plus_on_the_command_line():
    assert configure(corpora="flickr8k+sports").corpora == ("flickr8k", "sports")


def test_one_mirror_may_stand_alone_and_keeps_its_plus():
    url = "https://example.org/a+b.zip"
    assert RemoteArchive("a.zip", None, url).mirrors == (url,)


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"corpora": "imagenet"}, "download.corpora"),
        ({"corpora": []}, "download.corpora"),
        ({"attempts": 0}, "download.attempts"),
        ({"attempts": 1.5}, "download.attempts"),
        ({"backoff_s": -1}, "download.backoff_s"),
        ({"timeout_s": "long"}, "download.timeout_s"),
        ({"keep_archives": "yes"}, "download.keep_archives"),
        ({"sports_competition": "../x"}, "download.sports_competition"),
        ({"sports_licence": " "}, "download.sports_licence"),
        ({"study": None}, "download.study"),
    ],
)
def test_a_value_out_of_range_names_its_parameter(changes, parameter):
    with pytest.raises(UserFacingError, match=f"^parameter {parameter}: wanted "):
        configure([ARCHIVE], **changes)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../a.zip"},
        {"name": "a.tar"},
        {"name": ".zip"},
        {"checksum": "md5:123"},
        {"checksum": "crc32:12345678"},
        {"checksum": 7},
        {"mirrors": []},
        {"mirrors": ["ftp://example.org/a.zip"]},
        {"mirrors": None},
        {"mirror": "https://example.org"},
    ],
)
def test_an_archive_that_makes_no_sense_is_refused(change):
    with pytest.raises(UserFacingError, match=r"^parameter download\.flickr8k_archives"):
        configure([{**ARCHIVE, **change}])


def test_a_name_may_stand_once():
    with pytest.raises(UserFacingError, match="each name once"):
        configure([ARCHIVE, ARCHIVE])
