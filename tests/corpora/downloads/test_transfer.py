"""One transfer against a real server: what is continued, what is begun anew, what is refused."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pooch
import pytest

from sports_clip_pipeline.data.transfer import (
    BrokenTransferError,
    RefusedTransferError,
    ResumingDownloader,
    read_origin,
)
from tests.corpora.downloads.faulty_server import Fault, FaultyServer, Served, closed_port

PATIENT = ResumingDownloader(timeout_s=5.0)


def broken_off(server: FaultyServer, path: Path, content: bytes, at: int = 200_000) -> str:
    """A partial file of `at` bytes, left by a transfer that broke off; its address."""
    url = server.serve("/a.zip", content, Fault(breaks_at=at))
    with pytest.raises(BrokenTransferError, match="broke off in the middle"):
        PATIENT(url, path)
    assert path.read_bytes() == content[:at]
    return url


def test_a_faultless_transfer_delivers_the_very_bytes(server, content, tmp_path):
    url = server.serve("/a.zip", content)
    assert PATIENT(url, tmp_path / "a") is False
    assert (tmp_path / "a").read_bytes() == content
    assert server.ranges("/a.zip") == [None]


def test_progress_ends_at_the_whole_length(server, content, tmp_path):
    seen = []
    reporter = ResumingDownloader(5.0, report=lambda done, total: seen.append((done, total)))
    reporter(server.serve("/a.zip", content), tmp_path / "a")
    assert seen[0] == (0, len(content))
    assert seen[-1] == (len(content), len(content))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_transfer_broken_off_goes_on_where_it_was(server, content, tmp_path):
    url = broken_off(server, tmp_path / "a", content)
    assert PATIENT(url, tmp_path / "a") is True
    assert (tmp_path / "a").read_bytes() == content
    assert server.ranges("/a.zip") == [None, "bytes=200000-"]
    assert server.log[1].if_range == '"v1"'


def test_a_file_that_changed_in_between_is_begun_anew(server, content, tmp_path):
    url = broken_off(server, tmp_path / "a", content)
    other = bytes(reversed(content))
    server.files["/a.zip"] = Served(other, etag='"v2"')
    assert PATIENT(url, tmp_path / "a") is False
    assert (tmp_path / "a").read_bytes() == other


def test_a_server_that_ignores_range_sends_the_file_anew(server, content, tmp_path):
    url = broken_off(server, tmp_path / "a", content)
    server.files["/a.zip"].always = Fault(ignores_range=True)
    assert PATIENT(url, tmp_path / "a") is False
    assert (tmp_path / "a").read_bytes() == content


def test_416_at_the_end_of_the_file_means_that_it_is_whole(server, content, tmp_path):
    path = tmp_path / "a"
    url = server.serve("/a.zip", content, Fault(breaks_at=len(content), announces=9_999_999))
    with pytest.raises(BrokenTransferError):
        PATIENT(url, path)
    assert PATIENT(url, path) is True
    assert path.read_bytes() == content


def test_416_elsewhere_throws_the_partial_file_away(server, content, tmp_path):
    url = broken_off(server, tmp_path / "a", content)
    server.files["/a.zip"] = Served(content[:1000], etag='"v1"')
    with pytest.raises(BrokenTransferError, match="cannot continue at 200,000 of 1000 bytes"):
        PATIENT(url, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert PATIENT(url, tmp_path / "a") is False
    assert (tmp_path / "a").read_bytes() == content[:1000]


@pytest.mark.parametrize("claim", ["bytes 7-9/10", "bytes 200000-300000/5", "nonsense"])
def test_an_answer_that_goes_on_elsewhere_is_not_appended(server, content, tmp_path, claim):
    url = broken_off(server, tmp_path / "a", content)
    server.files["/a.zip"].faults = [Fault(content_range=claim)]
    with pytest.raises(BrokenTransferError, match="asked to go on at byte 200,000"):
        PATIENT(url, tmp_path / "a")
    assert PATIENT(url, tmp_path / "a") is False
    assert (tmp_path / "a").read_bytes() == content


def test_a_file_left_whole_asks_nobody(server, content, tmp_path):
    url = server.serve("/a.zip", content)
    PATIENT(url, tmp_path / "a")
    assert PATIENT(url, tmp_path / "a") is True
    assert len(server.log) == 1


def test_what_another_address_left_is_continued_only_on_demand(server, content, tmp_path):
    broken_off(server, tmp_path / "a", content)
    other = server.serve("/mirror.zip", content, etag='"other"')
    mixing = ResumingDownloader(5.0, mix_mirrors=True)
    assert mixing(other, tmp_path / "a") is True
    assert server.log[-1].range == "bytes=200000-"
    assert server.log[-1].if_range is None
    broken_off(server, tmp_path / "b", content)
    assert PATIENT(other, tmp_path / "b") is False
    assert server.log[-1].range is None


def test_without_a_length_the_end_of_the_connection_is_the_end(server, content, tmp_path):
    url = server.serve("/a.zip", content, always=Fault(silent_about_length=True))
    assert PATIENT(url, tmp_path / "a") is False
    assert (tmp_path / "a").read_bytes() == content
    assert read_origin(tmp_path / "a").total is None


def test_redirects_are_followed_also_by_the_continuation(server, content, tmp_path):
    server.serve("/real.zip", content, Fault(breaks_at=100_000))
    redirect = Fault(redirect=server.url("/real.zip"))
    url = server.serve("/a.zip", b"", always=redirect)
    with pytest.raises(BrokenTransferError):
        PATIENT(url, tmp_path / "a")
    assert PATIENT(url, tmp_path / "a") is True
    assert (tmp_path / "a").read_bytes() == content
    assert server.ranges("/real.zip") == [None, "bytes=100000-"]


def test_redirects_without_end_are_refused(server, tmp_path):
    url = server.serve("/a.zip", b"", always=Fault(redirect=server.url("/a.zip")))
    with pytest.raises(RefusedTransferError, match="redirects without end"):
        PATIENT(url, tmp_path / "a")


@pytest.mark.parametrize(
    ("status", "meaning"), [(401, "login"), (403, "refuses"), (404, "no such file"), (410, "rem")]
)
def test_an_answer_for_good_is_refused_with_its_meaning(server, tmp_path, status, meaning):
    url = server.serve("/a.zip", b"", always=Fault(status=status))
    with pytest.raises(RefusedTransferError, match=rf"{url} answered {status} \(.*{meaning}"):
        PATIENT(url, tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_answer_for_now_may_pass(server, tmp_path, status):
    url = server.serve("/a.zip", b"", always=Fault(status=status))
    with pytest.raises(BrokenTransferError, match=f"answered {status}"):
        PATIENT(url, tmp_path / "a")


def test_a_server_that_stalls_is_left_after_the_timeout(server, content, tmp_path):
    url = server.serve("/a.zip", content, Fault(breaks_at=70_000, stalls_s=2.0))
    with pytest.raises(BrokenTransferError, match="stayed silent for too long"):
        ResumingDownloader(timeout_s=0.3)(url, tmp_path / "a")
    kept = (tmp_path / "a").stat().st_size
    assert kept >= 64 * 1024
    assert PATIENT(url, tmp_path / "a") is True
    assert (tmp_path / "a").read_bytes() == content


def test_a_server_that_is_not_there_cannot_be_reached(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url = f"http://127.0.0.1:{closed_port()}/a.zip"
    with pytest.raises(BrokenTransferError, match="cannot be reached"):
        PATIENT(url, tmp_path / "a")


def test_a_damaged_note_of_origin_means_a_fresh_start(server, content, tmp_path):
    url = broken_off(server, tmp_path / "a", content)
    (tmp_path / "a.origin.json").write_text('{"url": 1')
    assert PATIENT(url, tmp_path / "a") is False
    assert (tmp_path / "a").read_bytes() == content


def test_it_serves_pooch_as_a_downloader(server, content, tmp_path):
    pooch.get_logger().setLevel(logging.WARNING)
    known = hashlib.sha256(content).hexdigest()
    url = server.serve("/a.zip", content)
    path = Path(pooch.retrieve(url, known, fname="a.zip", path=tmp_path, downloader=PATIENT))
    assert path.read_bytes() == content
