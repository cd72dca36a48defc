import os
from pathlib import Path

import pytest
from PIL import Image

from sports_clip_pipeline.data import user_images
from sports_clip_pipeline.data.transforms import UnusableImageError
from sports_clip_pipeline.data.user_images import ImageFile, ImageFiles
from sports_clip_pipeline.errors import UserFacingError


def names(images: Path) -> list[str]:
    return [file.name for file in ImageFiles.at(str(images))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "mine"
    (images / "trip" / "day 2").mkdir(parents=True)
    (images / ".thumbnails").mkdir()
    Image.new("RGB", (40, 40)).save(images / "b.png")
    for name in ("a.txt", "trip/c.JPG", "trip/day 2/d", ".hidden.jpg", ".thumbnails/e.jpg"):
        (images / name).write_text("x")
    return images


def test_folder_includes_subfolders_without_hidden_files(folder: Path) -> None:
    expected = ["a.txt", "b.png", "trip/c.JPG", "trip/day 2/d"]
    assert names(folder) == [str(folder / name) for name in expected]
    assert ImageFiles.at(str(folder)).count() == 4


def test_links_to_files_are_followed_and_links_to_folders_are_not(folder: Path) -> None:
    (folder / "round").symlink_to(folder)
    (folder / "link.png").symlink_to(folder / "b.png")
    (folder / "lost.png").symlink_to(folder / "nowhere")
    found = names(folder)
    assert str(folder / "link.png") in found
    assert str(folder / "lost.png") in found
    assert len(found) == 6


def test_image_is_recognised_whatever_its_name(folder: Path) -> None:
    plain = (folder / "b.png").rename(folder / "b.txt")
    assert names(plain) == [str(plain)]


def test_damaged_file_is_one_image(folder: Path) -> None:
    broken = folder / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\0\0 no image")
    assert names(broken) == [str(broken)]


@pytest.mark.parametrize("text", ["b.png\n\ntrip/c.JPG\n", "﻿b.png\r\n \r\ntrip/c.JPG"])
def test_paths_of_a_list_are_relative_to_its_folder(folder: Path, text: str) -> None:
    (folder / "list.csv").write_bytes(text.encode())
    listed = list(ImageFiles.at(str(folder / "list.csv")))
    assert [file.name for file in listed] == ["b.png", "trip/c.JPG"]
    assert [file.path for file in listed] == [str(folder / "b.png"), str(folder / "trip/c.JPG")]


def test_absolute_paths_of_a_list_are_unchanged(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"{folder / 'b.png'}\n")
    (only,) = ImageFiles.at(str(tmp_path / "list"))
    assert only.read() == (folder / "b.png").read_bytes()


def test_missing_or_empty_input_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match=r"nothing is at 'nowhere/x'.*name a folder"):
        ImageFiles.at("nowhere/x")
    with pytest.raises(UserFacingError, match="has no file"):
        ImageFiles.at(str(tmp_path)).count()
    (tmp_path / "list.txt").write_text("\n\n")
    with pytest.raises(UserFacingError, match="names no image"):
        ImageFiles.at(str(tmp_path / "list.txt")).count()


def reason(path: Path) -> str:
    with pytest.raises(UnusableImageError) as caught:
        ImageFile(str(path), str(path)).read()
    return caught.value.reason


def test_unreadable_file_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reason(tmp_path / "lost.jpg") == "missing"
    (tmp_path / "file").write_text("12345")
    assert reason(tmp_path / "file" / "below.jpg") == "missing"
    assert reason(tmp_path) == "unreadable"
    os.mkfifo(tmp_path / "pipe")
    assert reason(tmp_path / "pipe") == "unreadable"
    assert reason(Path("a\0b")) == "unreadable"
    monkeypatch.setattr(user_images, "MAX_BYTES", 4)
    assert reason(tmp_path / "file") == "too_large"
