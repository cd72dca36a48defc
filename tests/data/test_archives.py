import hashlib
import logging
import pickle
import zipfile
from pathlib import Path

import pytest

from sports_clip_pipeline.data.archives import Archive, find_archive
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.ingest.config import ArchiveLimits
from tests.data.factories import unpacked, zipped

FILES = {"b/two.txt": b"22", "a.txt": b"1"}


@pytest.mark.parametrize("make", [zipped, unpacked])
def test_names_are_sorted_and_contents_come_back(tmp_path: Path, make) -> None:
    archive = make(tmp_path / "corpus", FILES)
    assert archive.names() == ("a.txt", "b/two.txt")
    assert archive.read("b/two.txt") == b"22"
    assert pickle.loads(pickle.dumps(archive)).read("a.txt") == b"1"
    with pytest.raises(KeyError):
        archive.read("c.txt")


def test_zip_is_preferred_and_a_message_logged(tmp_path: Path, caplog) -> None:
    unpacked(tmp_path / "corpus", {"folder.txt": b""})
    with caplog.at_level(logging.INFO):
        archive = zipped(tmp_path / "corpus", {"zip.txt": b""})
    assert archive.names() == ("zip.txt",)
    assert len(caplog.records) == 1
    assert "the zip is read" in caplog.text


def test_missing_archive_error_says_where_to_get_it_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(UserFacingError) as raised:
        Archive.open(tmp_path / "flickr8k")
    for part in ("flickr8k.zip", "flickr8k/", str(tmp_path), "make data", "raw_dir"):
        assert part in str(raised.value)


def test_hidden_files_and_macosx_folder_are_left_out(tmp_path: Path) -> None:
    junk = {"__MACOSX/a.jpg": b"", ".DS_Store": b"", "a/.ipynb_checkpoints/b.jpg": b"", "a/b": b""}
    assert zipped(tmp_path / "z", junk).names() == ("a/b",)
    assert unpacked(tmp_path / "f", junk).names() == ("a/b",)


@pytest.mark.parametrize(
    "name", ["../a", "/a", "a/../../b", "C:/a", "..\\a", "\\a", "a\nb", "a/.."]
)
def test_path_traversal_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserFacingError, match="reaches out"):
        zipped(tmp_path / "bad", {name: b"x"}).names()


def test_harmless_names_are_unchanged(tmp_path: Path) -> None:
    names = ("a..b/c", "ä/日本 x\u00a0y.jpg")
    assert zipped(tmp_path / "c", dict.fromkeys(names, b"")).names() == names


def test_an_empty_folder_is_no_archive_and_the_zip_is_preferred(tmp_path: Path) -> None:
    (tmp_path / "flickr8k").mkdir()
    assert find_archive(tmp_path / "flickr8k") is None
    (tmp_path / "flickr8k" / "a").touch()
    assert find_archive(tmp_path / "flickr8k") == tmp_path / "flickr8k"
    (tmp_path / "flickr8k.zip").touch()
    assert find_archive(tmp_path / "flickr8k") == tmp_path / "flickr8k.zip"


def test_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("Images/a.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserFacingError, match=r"c\.zip:Images/a\.jpg: is a link or"):
        Archive.open(tmp_path / "c").names()


def test_only_links_inside_the_folder_are_read(
    tmp_path: Path,
) -> None:
    archive = unpacked(tmp_path / "f", {"a": b"1"})
    (tmp_path / "f" / "b").symlink_to("a")
    assert Archive.open(tmp_path / "f").read("b") == b"1"
    (tmp_path / "g").symlink_to(tmp_path / "f")
    assert Archive.open(tmp_path / "g").read("a") == b"1"
    (tmp_path / "f" / "c").symlink_to(tmp_path)
    with pytest.raises(UserFacingError, match="leaves the folder"):
        archive.names()


def test_repeated_name_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("a/b", "1")
        archive.writestr("a\\b", "2")
    with pytest.raises(UserFacingError, match="twice"):
        Archive.open(tmp_path / "c").names()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (ArchiveLimits(members=1), "2 files, more than 1"),
        (ArchiveLimits(member_bytes=1), "b/two.txt: holds 2 bytes, more than 1"),
        (ArchiveLimits(total_bytes=2), "3 bytes unpacked, more than 2"),
    ],
)
@pytest.mark.parametrize("make", [zipped, unpacked])
def test_limits_are_enforced(tmp_path: Path, make, limits, message: str) -> None:
    archive = make(tmp_path / "c", FILES).within(limits)
    with pytest.raises(UserFacingError, match=message):
        archive.names()


def test_high_compression_ratio_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(3 * 1024 * 1024))
    with pytest.raises(UserFacingError, match="times its size"):
        Archive.open(tmp_path / "c").names()


def test_truncated_zip_and_other_content_have_different_errors(tmp_path: Path) -> None:
    zipped(tmp_path / "c", FILES)
    path = tmp_path / "c.zip"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserFacingError, match=r"c\.zip: is a truncated or damaged zip.*60 bytes"):
        Archive.open(tmp_path / "c").names()
    for content in (b"<!DOCTYPE html>", b""):
        path.write_bytes(content)
        with pytest.raises(UserFacingError, match="is no zip"):
            Archive.open(tmp_path / "c").names()


def test_damaged_member_is_named(tmp_path: Path) -> None:
    zipped(tmp_path / "c", {"a": b"x" * 100, "b": b"y" * 100})
    path = tmp_path / "c.zip"
    path.write_bytes(path.read_bytes().replace(b"x" * 50, b"z" * 50))
    archive = Archive.open(tmp_path / "c")
    assert archive.read("b") == b"y" * 100
    with pytest.raises(UserFacingError, match=r"c\.zip:a: is damaged"):
        archive.read("a")


def test_digest_of_a_folder_depends_on_names_and_contents(tmp_path: Path) -> None:
    digests = {
        unpacked(tmp_path / str(k), files).digest()
        for k, files in enumerate([{"a": b"12"}, {"a": b"13"}, {"b": b"12"}, {"a": b"1", "b": b""}])
    }
    assert len(digests) == 4
    assert unpacked(tmp_path / "again", {"a": b"12"}).digest() in digests
    archive = zipped(tmp_path / "c", FILES)
    assert archive.digest() == hashlib.sha256((tmp_path / "c.zip").read_bytes()).hexdigest()
