"""Downloads: retries, mirrors, checksums, whole-or-nothing assembly, and a second run."""

from __future__ import annotations

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
    assemble_flickr8k,
    download_corpora,
    fetch_archive,
    find_corpus,
    measure,
)
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.ingest.config import RemoteArchive
from tests.data.conftest import CAPTIONS, configure, make_zip, md5
from tests.data.faulty_server import Fault, closed_port
from tests.data.test_kaggle import FakeKaggle, answered

pytestmark = pytest.mark.usefixtures("no_pauses")
CONFIG = configure()
IMAGES = {"Flicker8k_Dataset/": b"", "Flicker8k_Dataset/a.jpg": b"A" * 9}
TEXTS = {"Flickr8k.token.txt": CAPTIONS, "Flickr_8k.trainImages.txt": "a.jpg\n"}


def fetch(tmp_path, content, *urls, checksum=True, config=CONFIG):
    """Fetch `a.zip` from `urls`; its record."""
    archive = RemoteArchive(name="a.zip", checksum=md5(content) if checksum else None, mirrors=urls)
    return fetch_archive(archive, tmp_path, config, RunState())


@pytest.mark.parametrize("checksum", [True, False])
def test_a_faultless_mirror_gives_the_file_and_its_record(server, content, tmp_path, checksum):
    url = server.serve("/a.zip", content)
    record = fetch(tmp_path, content, url, checksum=checksum)
    sha256 = hashlib.sha256(content).hexdigest()
    assert record == {"file": "a.zip", "url": url, "sha256": sha256, "bytes": len(content)}
    assert (tmp_path / "a.zip").read_bytes() == content
    assert json.loads((tmp_path / "a.zip.record.json").read_text()) == record
    assert not (tmp_path / "a.zip.partial").exists()


@pytest.mark.parametrize("checksum", [True, False])
def test_a_broken_transfer_is_tried_again(server, content, tmp_path, checksum):
    faults = Fault(breaks_at=100_000), Fault(status=503)
    fetch(tmp_path, content, server.serve("/a.zip", content, *faults), checksum=checksum)
    assert (tmp_path / "a.zip").read_bytes() == content
    assert len(server.log) == 3


def test_a_finished_file_is_never_downloaded_again(server, content, tmp_path):
    url = server.serve("/a.zip", content)
    first = fetch(tmp_path, content, url)
    assert fetch(tmp_path, content, url) == first
    assert len(server.log) == 1


def test_a_mirror_that_refuses_is_asked_once_and_the_next_delivers(server, content, tmp_path):
    missing, good = server.url("/nothing.zip"), server.serve("/b.zip", content)
    assert fetch(tmp_path, content, missing, good)["url"] == good
    assert len([p for p in server.log if p == "/nothing.zip"]) == 1


def test_wrong_bytes_are_thrown_away_and_the_next_mirror_delivers(server, content, tmp_path):
    bad = server.serve("/bad.zip", content[:-1] + b"!")
    good = server.serve("/good.zip", content)
    assert fetch(tmp_path, content, bad, good)["url"] == good
    assert (tmp_path / "a.zip").read_bytes() == content


def test_wrong_bytes_everywhere_leave_no_file(server, content, tmp_path):
    bad = server.serve("/bad.zip", b"<!DOCTYPE html> please log in")
    with pytest.raises(UserFacingError) as caught:
        fetch(tmp_path, content, bad)
    wanted = md5(content).removeprefix("md5:")
    for part in (str(tmp_path / "a.zip"), bad, wanted, "run the same command again"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("checksum", [True, False])
def test_half_a_file_without_a_length_is_not_whole(server, content, tmp_path, checksum):
    half = Fault(silent_about_length=True, breaks_at=150_000)
    url = server.serve("/a.zip", content, always=half)
    with pytest.raises(UserFacingError):
        fetch(tmp_path, content, url, checksum=checksum)
    assert not (tmp_path / "a.zip").exists()


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


def test_a_full_disk_is_named_and_leaves_nothing(server, content, tmp_path):
    url = server.serve("/a.zip", content)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        with pytest.raises(UserFacingError, match=r"a\.zip\.partial: cannot be written"):
            fetch(tmp_path, content, url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


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


SCRIPT = """
import sys
from pathlib import Path
from sports_clip_pipeline.data.download import fetch_archive
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.ingest.config import RemoteArchive
from tests.data.conftest import configure
url, folder, checksum = sys.argv[1:]
archive = RemoteArchive(name="a.zip", checksum=checksum, mirrors=[url])
print(fetch_archive(archive, Path(folder), configure(), RunState())["sha256"])
"""


def test_a_killed_download_leaves_no_file_and_the_next_process_gets_it(server, content, tmp_path):
    url = server.serve("/a.zip", content, pause_s=0.5)
    command = [sys.executable, "-c", SCRIPT, url, str(tmp_path), md5(content)]
    victim = subprocess.Popen(command)
    scratch, deadline = tmp_path / "a.zip.partial", time.monotonic() + 60
    while not any(path.stat().st_size >= 64 * 1024 for path in scratch.glob("*")):
        assert victim.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert not (tmp_path / "a.zip").exists()
    server.files["/a.zip"].pause_s = 0
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "a.zip").read_bytes() == content
    assert not scratch.exists()


def build(tmp_path, *archives):
    """Assemble archives given as members; the number of images."""
    paths = []
    for index, members in enumerate(archives):
        content = members if isinstance(members, bytes) else make_zip(members)
        paths.append(tmp_path / f"{index}.zip")
        paths[-1].write_bytes(content)
    return assemble_flickr8k(paths, tmp_path / "site", tmp_path / "raw" / "flickr8k", RunState())


def listing(folder):
    """All files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_the_two_archives_become_the_folder_that_ingest_reads(tmp_path):
    assert build(tmp_path, IMAGES, TEXTS) == 1
    folder = tmp_path / "raw" / "flickr8k"
    assert listing(folder) == sorted(["Flicker8k_Dataset/a.jpg", *TEXTS])
    assert (folder / "Flicker8k_Dataset/a.jpg").read_bytes() == b"A" * 9
    assert (folder / "Flickr8k.token.txt").read_text() == CAPTIONS
    assert not (tmp_path / "site").exists()


def test_the_other_published_form_is_taken_as_well(tmp_path):
    assert build(tmp_path, {"Images/a.jpg": b"A", "captions.txt": "image,caption\n"}) == 1


def test_what_is_no_part_of_the_corpus_stays_behind(tmp_path):
    rest = {"__MACOSX/._a.jpg": b"x", ".DS_Store": b"x", "tools/run.exe": b"x", "._b.txt": b"x"}
    build(tmp_path, {**IMAGES, **rest, "Flicker8k_Dataset/._a.jpg": b"x"}, TEXTS)
    found = listing(tmp_path / "raw" / "flickr8k")
    assert found == sorted(["Flicker8k_Dataset/a.jpg", *TEXTS])


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "..\\evil.txt", "C:/evil.txt"])
def test_a_name_that_climbs_condemns_the_archive(tmp_path, name):
    with pytest.raises(UserFacingError, match="reaches out of the archive"):
        build(tmp_path, {**IMAGES, **TEXTS, name: b"evil"})
    assert not (tmp_path / "raw" / "flickr8k").exists()
    assert not list(tmp_path.parent.rglob("*evil*"))


def test_a_member_with_a_wrong_crc_leaves_no_corpus(tmp_path):
    damaged = make_zip({**TEXTS, **IMAGES}).replace(b"A" * 9, b"B" * 9, 1)
    with pytest.raises(UserFacingError, match="is damaged"):
        build(tmp_path, damaged)
    assert not (tmp_path / "raw" / "flickr8k").exists()


@pytest.mark.parametrize(("members", "what"), [(IMAGES, "no caption file"), (TEXTS, "0 images")])
def test_half_of_the_corpus_is_none(tmp_path, members, what):
    with pytest.raises(UserFacingError, match=what):
        build(tmp_path, members)


def test_remains_of_a_killed_assembly_are_swept_away(tmp_path):
    (tmp_path / "site" / "Flicker8k_Dataset").mkdir(parents=True)
    (tmp_path / "site" / "Flicker8k_Dataset" / "half.jpg").write_bytes(b"x")
    assert build(tmp_path, IMAGES, TEXTS) == 1


def test_find_corpus_prefers_the_zip_and_overlooks_an_empty_folder(tmp_path):
    (tmp_path / "flickr8k").mkdir()
    assert find_corpus("flickr8k", tmp_path) is None
    (tmp_path / "flickr8k" / "a").touch()
    assert find_corpus("flickr8k", tmp_path) == tmp_path / "flickr8k"
    (tmp_path / "flickr8k.zip").touch()
    assert find_corpus("flickr8k", tmp_path) == tmp_path / "flickr8k.zip"


def test_a_zip_is_measured_by_its_content_and_a_folder_by_its_files(tmp_path):
    (tmp_path / "a.zip").write_bytes(make_zip(TEXTS))
    sha256 = hashlib.sha256(make_zip(TEXTS)).hexdigest()
    assert measure(tmp_path / "a.zip") == (sha256, len(make_zip(TEXTS)))
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_bytes(b"12")
    (tmp_path / "a" / "y").write_bytes(b"345")
    digest, size = measure(tmp_path / "a")
    assert size == 5
    (tmp_path / "a" / "y").write_bytes(b"346")
    assert measure(tmp_path / "a")[0] != digest


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


def test_both_corpora_come_with_a_receipt(config, tmp_path):
    receipt = download_corpora(config, tmp_path, RunState(), FakeKaggle())
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
    assert (rows[2]["sha256"], rows[2]["bytes"]) == measure(tmp_path / "sports")
    assert (tmp_path / "flickr8k" / "Flicker8k_Dataset" / "b.jpg").read_bytes() == b"B"


def test_a_second_run_asks_nobody_and_gives_the_same_receipt(config, server, tmp_path):
    first = download_corpora(config, tmp_path, RunState(), FakeKaggle())
    kaggle = FakeKaggle()
    assert download_corpora(config, tmp_path, RunState(), kaggle) == first
    assert len(server.log) == 2
    assert kaggle.calls == []


def test_licences_are_shown_before_the_first_request(config, server, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    server.files.clear()
    with pytest.raises(UserFacingError):
        download_corpora(config, tmp_path, RunState(), FakeKaggle())
    shown = [record.getMessage() for record in caplog.records]
    assert "For research only." in shown[0]
    assert "photos.zip" in shown[1]


def test_archives_are_dropped_on_demand_and_still_accounted_for(config, tmp_path):
    lean = configure(list(config.flickr8k_archives), keep_archives=False)
    first = download_corpora(lean, tmp_path, RunState())
    assert not list((tmp_path / "downloads").glob("*.zip"))
    assert download_corpora(lean, tmp_path, RunState()) == first


def test_corpora_placed_by_hand_stay_as_they_are(config, server, tmp_path):
    (tmp_path / "flickr8k.zip").write_bytes(IMAGE_ZIP)
    (tmp_path / "sports").mkdir()
    (tmp_path / "sports" / "mine.csv").write_text("x")
    rows = download_corpora(config, tmp_path, RunState(), FakeKaggle())["files"]
    assert [(row["file"], row["url"]) for row in rows] == [
        ("flickr8k.zip", None),
        ("sports/", None),
    ]
    assert server.log == []
    assert (tmp_path / "sports" / "mine.csv").exists()


def test_flickr8k_stays_where_kaggle_refuses(config, tmp_path):
    with pytest.raises(UserFacingError, match="rules"):
        download_corpora(config, tmp_path, RunState(), FakeKaggle(answered(403)))
    assert (tmp_path / "flickr8k" / "Flickr8k.token.txt").exists()
    assert not (tmp_path / "sports").exists()


def test_the_sample_study_is_not_filled_with_images(tmp_path):
    with pytest.raises(UserFacingError, match="add --env=real"):
        download_corpora(configure(study="sample"), tmp_path, RunState())
    assert list(tmp_path.iterdir()) == []
