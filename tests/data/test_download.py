"""Downloads: retries, mirrors, checksums, atomic assembly, and a second run."""

import hashlib
import json
import logging
import resource
import signal
import subprocess
import sys
import time

import pytest

from sports_clip_pipeline.data.download import (
    SPORTS_FILES,
    assemble_flickr8k,
    describe_corpus,
    download_corpora,
    fetch_archive,
)
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.ingest.config import RemoteArchive
from tests.data.conftest import CAPTIONS, configure, make_zip, md5
from tests.data.faulty_server import Fault, closed_port
from tests.data.test_kaggle import answered, fake_kaggle

pytestmark = pytest.mark.usefixtures("no_pauses")
CONFIG = configure()
IMAGES = {"Flicker8k_Dataset/": b"", "Flicker8k_Dataset/a.jpg": b"A" * 9}
TEXTS = {"Flickr8k.token.txt": CAPTIONS, "Flickr_8k.trainImages.txt": "a.jpg\n"}
with_and_without_checksum = pytest.mark.parametrize("checksum", [True, False])


def fetch(tmp_path, content, *urls, checksum=True, config=CONFIG):
    """Fetch `a.zip` from `urls`. Returns: its record."""
    archive = RemoteArchive(name="a.zip", checksum=md5(content) if checksum else None, mirrors=urls)
    return fetch_archive(archive, tmp_path, config)


@with_and_without_checksum
def test_archive_and_its_record_are_written(server, content, tmp_path, checksum):
    url = server.serve("/a.zip", content)
    record = fetch(tmp_path, content, url, checksum=checksum)
    sha256 = hashlib.sha256(content).hexdigest()
    assert record == {"file": "a.zip", "url": url, "sha256": sha256, "bytes": len(content)}
    assert (tmp_path / "a.zip").read_bytes() == content
    assert json.loads((tmp_path / "a.zip.record.json").read_text()) == record
    assert not (tmp_path / "a.zip.partial").exists()
    assert fetch(tmp_path, content, url, checksum=checksum) == record
    assert len(server.log) == 1, "a complete file is not downloaded again"


@with_and_without_checksum
def test_broken_transfer_is_retried(server, content, tmp_path, checksum):
    faults = Fault(breaks_at=100_000), Fault(status=503)
    fetch(tmp_path, content, server.serve("/a.zip", content, *faults), checksum=checksum)
    assert (tmp_path / "a.zip").read_bytes() == content
    assert len(server.log) == 3


def test_the_next_mirror_is_used_after_a_missing_file_and_wrong_bytes(server, content, tmp_path):
    missing, bad = server.url("/nothing.zip"), server.serve("/bad.zip", content[:-1] + b"!")
    good = server.serve("/good.zip", content)
    assert fetch(tmp_path, content, missing, bad, good)["url"] == good
    assert (tmp_path / "a.zip").read_bytes() == content


def test_error_names_every_mirror_and_leaves_no_file(server, content, tmp_path):
    bad = server.serve("/bad.zip", b"<!DOCTYPE html> please log in")
    forbidden = server.serve("/x.zip", b"", always=Fault(status=403))
    with pytest.raises(UserFacingError) as caught:
        fetch(tmp_path, content, bad, forbidden)
    expected = md5(content).removeprefix("md5:"), f"{forbidden} answered 403 (Forbidden)"
    for part in (str(tmp_path / "a.zip"), bad, *expected, "run the same command again"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_damaged_member_is_found_without_a_checksum(server, content, tmp_path):
    damaged = content[:1000] + b"damage" + content[1006:]
    with pytest.raises(UserFacingError, match=r"damaged member, 'Flicker8k_Dataset/a\.jpg'"):
        fetch(tmp_path, content, server.serve("/a.zip", damaged), checksum=False)


@with_and_without_checksum
@pytest.mark.parametrize("announced", [150_000, 0])
def test_half_a_file_is_not_accepted(server, content, tmp_path, checksum, announced):
    half = Fault(announces=announced, breaks_at=150_000)
    url = server.serve("/a.zip", content, always=half)
    with pytest.raises(UserFacingError):
        fetch(tmp_path, content, url, checksum=checksum)
    assert not (tmp_path / "a.zip").exists()


def test_stalling_mirror_times_out(server, content, tmp_path):
    config = configure(attempts=1, timeout_s=0.3)
    stalling = server.serve("/slow.zip", content, always=Fault(stalls_s=1.5))
    good = server.serve("/good.zip", content)
    assert fetch(tmp_path, content, stalling, good, config=config)["url"] == good


def test_offline_error_is_one_line_with_file_address_and_remedy(monkeypatch, content, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url = f"http://127.0.0.1:{closed_port()}/a.zip"
    with pytest.raises(UserFacingError) as caught:
        fetch(tmp_path, content, url)
    line = str(caught.value)
    for part in (f"{tmp_path / 'a.zip'}: ", f"{url} cannot be reached", "https://example.org"):
        assert part in line
    assert "\n" not in line


def test_full_disk_is_an_error_that_leaves_no_file(server, content, tmp_path):
    url = server.serve("/a.zip", content)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        with pytest.raises(UserFacingError, match=r"a\.zip\.partial: File too large"):
            fetch(tmp_path, content, url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@with_and_without_checksum
def test_manually_placed_file_is_checked_and_recorded(content, tmp_path, checksum):
    (tmp_path / "a.zip").write_bytes(content)
    record = fetch(tmp_path, content, "http://127.0.0.1:9/a.zip", checksum=checksum)
    assert (record["url"], record["bytes"]) == (None, len(content))
    (tmp_path / "a.zip.record.json").unlink()
    (tmp_path / "a.zip").write_bytes(content[:1000])
    with pytest.raises(UserFacingError, match=r"a\.zip: .*; delete or move it"):
        fetch(tmp_path, content, "http://127.0.0.1:9/a.zip", checksum=checksum)
    assert (tmp_path / "a.zip").stat().st_size == 1000


def test_file_without_known_checksum_must_match_its_record(server, content, tmp_path):
    url = server.serve("/a.zip", content)
    fetch(tmp_path, content, url, checksum=False)
    (tmp_path / "a.zip").write_bytes(content + b" ")
    with pytest.raises(UserFacingError, match=f"wanted {hashlib.sha256(content).hexdigest()}"):
        fetch(tmp_path, content, url, checksum=False)


SCRIPT = """
import sys
from pathlib import Path
from sports_clip_pipeline.data.download import fetch_archive
from sports_clip_pipeline.pipelines.ingest.config import RemoteArchive
from tests.data.conftest import configure
url, folder, checksum = sys.argv[1:]
archive = RemoteArchive(name="a.zip", checksum=checksum, mirrors=[url])
print(fetch_archive(archive, Path(folder), configure())["sha256"])
"""


def test_killed_download_leaves_no_file_and_the_next_run_gets_it(server, content, tmp_path):
    url, server.pause_s = server.serve("/a.zip", content), 0.5
    command = [sys.executable, "-c", SCRIPT, url, str(tmp_path), md5(content)]
    process = subprocess.Popen(command)
    scratch, deadline = tmp_path / "a.zip.partial", time.monotonic() + 60
    while not any(path.stat().st_size >= 64 * 1024 for path in scratch.glob("*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "a.zip").exists()
    server.pause_s = 0
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "a.zip").read_bytes() == content
    assert not scratch.exists()


def assemble(tmp_path, *archives):
    """Assemble archives given as members. Returns: the number of images."""
    paths = []
    for index, members in enumerate(archives):
        content = members if isinstance(members, bytes) else make_zip(members)
        paths.append(tmp_path / f"{index}.zip")
        tmp_path.mkdir(exist_ok=True)
        paths[-1].write_bytes(content)
    target = tmp_path / "flickr8k"
    return assemble_flickr8k(paths, tmp_path / "scratch", target, RunState())


def test_archives_become_the_folder_that_ingest_reads_without_foreign_files(tmp_path):
    foreign = {"__MACOSX/._a.jpg": b"x", ".DS_Store": b"x", "tools/run.exe": b"x", "._b.txt": b"x"}
    (tmp_path / "scratch" / "Flicker8k_Dataset").mkdir(parents=True)
    (tmp_path / "scratch" / "Flicker8k_Dataset" / "half.jpg").write_bytes(b"x")  # killed run
    assert assemble(tmp_path, {**IMAGES, **foreign, "Images/._a.jpg": b"x"}, TEXTS) == 1
    folder = tmp_path / "flickr8k"
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert files == sorted(["Flicker8k_Dataset/a.jpg", *TEXTS])
    assert (folder / "Flicker8k_Dataset/a.jpg").read_bytes() == b"A" * 9
    assert (folder / "Flickr8k.token.txt").read_text() == CAPTIONS
    assert not (tmp_path / "scratch").exists()
    other_format = {"Images/a.jpg": b"A", "captions.txt": "image,caption\n"}
    assert assemble(tmp_path / "other", other_format) == 1


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "..\\evil.txt", "C:/evil.txt"])
def test_path_traversal_refuses_the_archive(tmp_path, name):
    with pytest.raises(UserFacingError, match="reaches out of the archive"):
        assemble(tmp_path, {**IMAGES, **TEXTS, name: b"evil"})
    assert not (tmp_path / "flickr8k").exists()
    assert not list(tmp_path.parent.rglob("*evil*"))


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (IMAGES, "no caption file"),
        (TEXTS, "0 images"),
        (make_zip({**TEXTS, **IMAGES}).replace(b"A" * 9, b"B" * 9, 1), "is damaged"),
    ],
)
def test_incomplete_or_damaged_archives_leave_no_corpus(tmp_path, archive, message):
    with pytest.raises(UserFacingError, match=message):
        assemble(tmp_path, archive)
    assert not (tmp_path / "flickr8k").exists()


IMAGE_ZIP = make_zip({"Flicker8k_Dataset/a.jpg": b"A", "Flicker8k_Dataset/b.jpg": b"B"})
TEXT_ZIP = make_zip({"Flickr8k.token.txt": CAPTIONS})


@pytest.fixture
def config(server):
    """Both corpora, Flickr8k from the local server."""
    archives = [
        RemoteArchive(name=name, checksum=md5(content), mirrors=[server.serve(f"/{name}", content)])
        for name, content in (("photos.zip", IMAGE_ZIP), ("texts.zip", TEXT_ZIP))
    ]
    return configure(archives, corpora="flickr8k+sports")


def test_receipt_lists_both_corpora_and_a_second_run_downloads_nothing(
    config, server, tmp_path, monkeypatch
):
    calls = fake_kaggle(monkeypatch)
    receipt = download_corpora(config, tmp_path, RunState())
    rows = receipt["files"]
    assert [(row["corpus"], row["file"]) for row in rows] == [
        ("flickr8k", "photos.zip"),
        ("flickr8k", "texts.zip"),
        ("sports", "sports/"),
    ]
    assert rows[0]["sha256"] == hashlib.sha256(IMAGE_ZIP).hexdigest()
    assert rows[0]["bytes"] == len(IMAGE_ZIP)
    assert rows[0]["url"] == config.flickr8k_archives[0].mirrors[0]
    assert rows[0]["licence"] == "For research only."
    assert rows[2]["url"] == "https://www.kaggle.com/competitions/some-sports"
    assert rows[2]["sha256"] == describe_corpus(tmp_path / "sports")["sha256"]
    assert (tmp_path / "flickr8k" / "Flicker8k_Dataset" / "b.jpg").read_bytes() == b"B"
    assert all((tmp_path / "sports" / name).exists() for name in SPORTS_FILES)

    assert download_corpora(config, tmp_path, RunState()) == receipt
    assert len(server.log) == 2
    assert len(calls) == 1


def test_licence_is_logged_before_the_first_request(config, server, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    server.files.clear()
    with pytest.raises(UserFacingError):
        download_corpora(config, tmp_path, RunState())
    logged = [record.getMessage() for record in caplog.records]
    assert "For research only." in logged[0]
    assert "photos.zip" in logged[1]


def test_archives_are_removed_on_demand_and_stay_in_the_receipt(config, tmp_path):
    config = configure(list(config.flickr8k_archives), keep_archives=False)
    first = download_corpora(config, tmp_path, RunState())
    assert not list((tmp_path / "downloads").glob("*.zip"))
    assert download_corpora(config, tmp_path, RunState()) == first


def test_manually_placed_corpora_are_left_unchanged(config, server, tmp_path):
    (tmp_path / "flickr8k.zip").write_bytes(IMAGE_ZIP)
    (tmp_path / "sports").mkdir()
    (tmp_path / "sports" / "mine.csv").write_text("x")
    rows = download_corpora(config, tmp_path, RunState())["files"]
    assert [(row["file"], row["url"]) for row in rows] == [
        ("flickr8k.zip", None),
        ("sports/", None),
    ]
    assert server.log == []
    assert (tmp_path / "sports" / "mine.csv").exists()


def test_flickr8k_stays_if_kaggle_refuses(config, tmp_path, monkeypatch):
    fake_kaggle(monkeypatch, answered(403))
    with pytest.raises(UserFacingError, match="rules"):
        download_corpora(config, tmp_path, RunState())
    assert (tmp_path / "flickr8k" / "Flickr8k.token.txt").exists()
    assert not (tmp_path / "sports").exists()


def test_sample_study_is_refused(tmp_path):
    with pytest.raises(UserFacingError, match="add --env=real"):
        download_corpora(configure(study="sample"), tmp_path, RunState())
    assert list(tmp_path.iterdir()) == []
