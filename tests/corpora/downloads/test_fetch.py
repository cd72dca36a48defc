"""An archive from its mirrors: retries, wrong bytes, lies about lengths, records."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from sports_clip_pipeline.corpora.downloads.fetch import fetch_archive, find_fault
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.pipelines.download.config import RemoteArchive
from tests.corpora.downloads.conftest import configure, is_flushed, md5
from tests.corpora.downloads.faulty_server import Fault, closed_port

CONFIG = configure()


def fetch(tmp_path, content, *urls, checksum=True, config=CONFIG):
    """Fetch `a.zip` from `urls`; its record."""
    archive = RemoteArchive(name="a.zip", checksum=md5(content) if checksum else None, mirrors=urls)
    return fetch_archive(archive, tmp_path, config, Journal())


@pytest.mark.parametrize("checksum", [True, False])
def test_a_faultless_mirror_gives_the_file_and_its_record(server, content, tmp_path, checksum):
    url = server.serve("/a.zip", content)
    record = fetch(tmp_path, content, url, checksum=checksum)
    sha256 = hashlib.sha256(content).hexdigest()
    assert record == {"file": "a.zip", "url": url, "sha256": sha256, "bytes": len(content)}
    assert (tmp_path / "a.zip").read_bytes() == content
    assert json.loads((tmp_path / "a.zip.record.json").read_text()) == record
    assert is_flushed(tmp_path / "a.zip")


@pytest.mark.parametrize("checksum", [True, False])
def test_a_transfer_that_breaks_twice_is_continued_twice(server, content, tmp_path, checksum):
    faults = Fault(breaks_at=100_000), Fault(breaks_at=50_000)
    fetch(tmp_path, content, server.serve("/a.zip", content, *faults), checksum=checksum)
    assert (tmp_path / "a.zip").read_bytes() == content
    assert server.ranges("/a.zip") == [None, "bytes=100000-", "bytes=150000-"]


def test_a_finished_file_is_never_downloaded_again(server, content, tmp_path):
    url = server.serve("/a.zip", content)
    first = fetch(tmp_path, content, url)
    assert fetch(tmp_path, content, url) == first
    assert len(server.log) == 1


def test_500_then_ok_is_ok(server, content, tmp_path):
    url = server.serve("/a.zip", content, Fault(status=500), Fault(status=503))
    fetch(tmp_path, content, url)
    assert len(server.log) == 3


def test_a_mirror_that_refuses_is_asked_once_and_the_next_delivers(server, content, tmp_path):
    missing, good = server.url("/nothing.zip"), server.serve("/b.zip", content)
    assert fetch(tmp_path, content, missing, good)["url"] == good
    assert len(server.ranges("/nothing.zip")) == 1


def test_wrong_bytes_are_thrown_away_and_the_next_mirror_delivers(server, content, tmp_path):
    bad = server.serve("/bad.zip", content[:-1] + b"!")
    good = server.serve("/good.zip", content)
    assert fetch(tmp_path, content, bad, good)["url"] == good
    assert (tmp_path / "a.zip").read_bytes() == content
    assert server.ranges("/good.zip") == [None]


def test_wrong_bytes_everywhere_leave_no_file(server, content, tmp_path):
    bad = server.serve("/bad.zip", b"<!DOCTYPE html> please log in")
    with pytest.raises(UserFacingError) as caught:
        fetch(tmp_path, content, bad)
    wanted = md5(content).removeprefix("md5:")
    for part in (str(tmp_path / "a.zip"), bad, f"wanted {wanted}", "run the same command again"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_a_checksum_what_is_no_zip_is_wrong(server, content, tmp_path):
    bad = server.serve("/bad.zip", b"<!DOCTYPE html> please log in")
    good = server.serve("/good.zip", content)
    assert fetch(tmp_path, content, bad, good, checksum=False)["url"] == good


def test_without_a_checksum_a_damaged_member_is_wrong(server, content, tmp_path):
    damaged = bytearray(content)
    damaged[1000] ^= 1
    with pytest.raises(UserFacingError, match=r"damaged member, 'Flicker8k_Dataset/a\.jpg'"):
        fetch(tmp_path, content, server.serve("/a.zip", bytes(damaged)), checksum=False)


@pytest.mark.parametrize("checksum", [True, False])
def test_a_length_announced_too_short_never_passes_for_whole(server, content, tmp_path, checksum):
    short = Fault(announces=len(content) - 5000, breaks_at=len(content) - 5000)
    lying = server.serve("/lying.zip", content, always=short)
    good = server.serve("/good.zip", content)
    assert fetch(tmp_path, content, lying, good, checksum=checksum)["url"] == good
    assert (tmp_path / "a.zip").read_bytes() == content


def test_a_length_announced_too_long_is_survived_with_a_checksum(server, content, tmp_path):
    lie = Fault(announces=len(content) + 5000, ignores_range=True)
    record = fetch(tmp_path, content, server.serve("/a.zip", content, always=lie))
    assert record["bytes"] == len(content)
    assert (tmp_path / "a.zip").read_bytes() == content


def test_a_length_announced_too_long_is_no_whole_file_without_one(server, content, tmp_path):
    lie = Fault(announces=len(content) + 5000, ignores_range=True)
    url = server.serve("/a.zip", content, always=lie)
    with pytest.raises(UserFacingError, match="broke off in the middle"):
        fetch(tmp_path, content, url, checksum=False)
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("checksum", [True, False])
def test_half_a_file_without_a_length_is_not_whole(server, content, tmp_path, checksum):
    half = Fault(silent_about_length=True, breaks_at=150_000)
    url = server.serve("/a.zip", content, always=half)
    with pytest.raises(UserFacingError):
        fetch(tmp_path, content, url, checksum=checksum)
    assert not (tmp_path / "a.zip").exists()


def test_a_mirror_that_breaks_for_good_is_continued_by_the_next(server, content, tmp_path):
    config = configure(attempts=1)
    first = server.serve("/first.zip", content, Fault(breaks_at=200_000))
    second = server.serve("/second.zip", content, etag='"other"')
    assert fetch(tmp_path, content, first, second, config=config)["url"] == second
    assert server.ranges("/second.zip") == ["bytes=200000-"]
    assert (tmp_path / "a.zip").read_bytes() == content


def test_without_a_checksum_the_next_mirror_begins_anew(server, content, tmp_path):
    config = configure(attempts=1)
    first = server.serve("/first.zip", content, Fault(breaks_at=200_000))
    second = server.serve("/second.zip", content, etag='"other"')
    fetch(tmp_path, content, first, second, checksum=False, config=config)
    assert server.ranges("/second.zip") == [None]


def test_a_continuation_of_wrong_bytes_is_begun_anew_at_the_same_mirror(server, content, tmp_path):
    config = configure(attempts=2)
    liar = server.serve("/liar.zip", content, sends_wrong(content), Fault(status=404))
    honest = server.serve("/honest.zip", content)
    fetch(tmp_path, content, liar, honest, config=config)
    assert server.ranges("/honest.zip") == ["bytes=100000-", None]
    assert (tmp_path / "a.zip").read_bytes() == content


def sends_wrong(content):
    """An answer with other bytes of the same length that breaks off."""
    return Fault(sends=bytes(reversed(content)), breaks_at=100_000)


def test_a_stalling_mirror_is_left_for_the_next(server, content, tmp_path):
    config = configure(attempts=1, timeout_s=0.3)
    stalling = server.serve("/slow.zip", content, always=Fault(stalls_s=1.5))
    good = server.serve("/good.zip", content)
    assert fetch(tmp_path, content, stalling, good, config=config)["url"] == good


def test_offline_is_one_line_with_file_address_and_remedy(monkeypatch, content, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url = f"http://127.0.0.1:{closed_port()}/a.zip"
    with pytest.raises(UserFacingError) as caught:
        fetch(tmp_path, content, url)
    line = str(caught.value)
    for part in (f"{tmp_path / 'a.zip'}: ", f"{url} cannot be reached", "https://example.org"):
        assert part in line
    assert "\n" not in line


def test_a_full_disk_keeps_what_has_come(server, content, tmp_path):
    url = server.serve("/a.zip", content)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        with pytest.raises(UserFacingError, match=r"a\.zip\.partial: cannot be written"):
            fetch(tmp_path, content, url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    fetch(tmp_path, content, url)
    assert server.ranges("/a.zip") == [None, "bytes=150000-"]


def test_a_failure_names_every_mirror(server, content, tmp_path):
    forbidden = server.serve("/x.zip", b"", always=Fault(status=403))
    missing = server.url("/y.zip")
    with pytest.raises(UserFacingError) as caught:
        fetch(tmp_path, content, forbidden, missing)
    assert f"{forbidden} answered 403" in str(caught.value)
    assert f"{missing} answered 404" in str(caught.value)


def test_a_file_placed_by_hand_is_checked_and_recorded(content, tmp_path):
    (tmp_path / "a.zip").write_bytes(content)
    record = fetch(tmp_path, content, "http://127.0.0.1:9/a.zip")
    assert record["url"] is None
    assert record["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("checksum", [True, False])
def test_half_a_file_placed_by_hand_is_refused_and_kept(content, tmp_path, checksum):
    (tmp_path / "a.zip").write_bytes(content[:1000])
    with pytest.raises(UserFacingError, match=r"a\.zip: .*; delete or move it"):
        fetch(tmp_path, content, "http://127.0.0.1:9/a.zip", checksum=checksum)
    assert (tmp_path / "a.zip").stat().st_size == 1000


def test_a_file_trusted_on_first_use_is_held_to_its_first_checksum(server, content, tmp_path):
    url = server.serve("/a.zip", content)
    fetch(tmp_path, content, url, checksum=False)
    changed = (tmp_path / "a.zip").read_bytes() + b" "
    (tmp_path / "a.zip").write_bytes(changed)
    with pytest.raises(UserFacingError, match=f"wanted {hashlib.sha256(content).hexdigest()}"):
        fetch(tmp_path, content, url, checksum=False)


def test_find_fault_names_both_checksums(content, tmp_path):
    (tmp_path / "a.zip").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    assert find_fault(tmp_path / "a.zip", f"sha256:{sha256}") is None
    fault = find_fault(tmp_path / "a.zip", f"sha256:{'0' * 64}")
    assert fault == f"has sha256 {sha256}, wanted {'0' * 64}"


SCRIPT = """
import sys
from pathlib import Path
from sports_clip_pipeline.pipelines.download.config import RemoteArchive
from sports_clip_pipeline.corpora.downloads.fetch import fetch_archive
from sports_clip_pipeline.journal import Journal
from tests.corpora.downloads.conftest import configure
url, folder, checksum = sys.argv[1:]
archive = RemoteArchive(
    name="a.zip", checksum=checksum if checksum != "none" else None, mirrors=[url]
)
print(fetch_archive(archive, Path(folder), configure(), Journal())["sha256"])
"""


@pytest.mark.parametrize("checksum", [True, False])
def test_a_killed_download_goes_on_in_the_next_process(server, content, tmp_path, checksum):
    url = server.serve("/a.zip", content, pause_s=0.5)
    known = md5(content) if checksum else "none"
    command = [sys.executable, "-c", SCRIPT, url, str(tmp_path), known]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])}
    victim = subprocess.Popen(command, env=environment)
    partial, deadline = tmp_path / "a.zip.partial", time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size >= 2 * 64 * 1024):
        assert victim.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    kept = partial.stat().st_size
    assert 0 < kept < len(content)
    assert not (tmp_path / "a.zip").exists()
    server.files["/a.zip"].pause_s = 0
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(content).hexdigest()
    assert server.ranges("/a.zip") == [None, f"bytes={kept}-"]
    assert (tmp_path / "a.zip").read_bytes() == content
    assert is_flushed(tmp_path / "a.zip")
