"""From archives to a folder: the published form, and nothing an archive asks for beyond it."""

from __future__ import annotations

import hashlib
import stat
import zipfile

import pytest

from sports_clip_pipeline.data.download import assemble_flickr8k, is_there, measure
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import Journal
from tests.corpora.downloads.conftest import CAPTIONS, make_zip

IMAGES = {"Flicker8k_Dataset/": b"", "Flicker8k_Dataset/a.jpg": b"A" * 9}
TEXTS = {"Flickr8k.token.txt": CAPTIONS, "Flickr_8k.trainImages.txt": "a.jpg\n"}


def build(tmp_path, *archives):
    """Assemble archives given as members; the number of images."""
    paths = []
    for index, members in enumerate(archives):
        content = members if isinstance(members, bytes) else make_zip(members)
        paths.append(tmp_path / f"{index}.zip")
        paths[-1].write_bytes(content)
    return assemble_flickr8k(paths, tmp_path / "site", tmp_path / "raw" / "flickr8k", Journal())


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


def test_a_link_condemns_the_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "0.zip", "w") as archive:
        link = zipfile.ZipInfo("Flicker8k_Dataset/a.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserFacingError, match="is a link"):
        build(tmp_path, (tmp_path / "0.zip").read_bytes())


def test_a_bomb_leaves_no_corpus(tmp_path):
    with zipfile.ZipFile(tmp_path / "0.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Flicker8k_Dataset/a.jpg", bytes(40_000_000))
    with pytest.raises(UserFacingError, match="a bomb"):
        build(tmp_path, (tmp_path / "0.zip").read_bytes())
    assert not (tmp_path / "raw" / "flickr8k").exists()


def test_a_truncated_archive_leaves_no_corpus(tmp_path):
    with pytest.raises(UserFacingError, match=r"0\.zip: is a zip that is truncated"):
        build(tmp_path, make_zip(IMAGES)[:-30])
    assert not (tmp_path / "raw" / "flickr8k").exists()


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


def test_is_there_prefers_the_zip_and_overlooks_an_empty_folder(tmp_path):
    (tmp_path / "flickr8k").mkdir()
    assert is_there("flickr8k", tmp_path) is None
    (tmp_path / "flickr8k" / "a").touch()
    assert is_there("flickr8k", tmp_path) == tmp_path / "flickr8k"
    (tmp_path / "flickr8k.zip").touch()
    assert is_there("flickr8k", tmp_path) == tmp_path / "flickr8k.zip"


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
