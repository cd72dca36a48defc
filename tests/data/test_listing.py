from pathlib import Path

import pytest

from sports_clip_pipeline.data.listing import find_file, image_folder, inner_path, read_columns
from sports_clip_pipeline.errors import UserFacingError
from tests.data.factories import zipped


def test_find_file_returns_the_least_nested_one_in_any_case(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "c", {"a/b/Captions.txt": b"", "a/captions.TXT": b""})
    assert find_file(archive, "captions.txt") == "a/captions.TXT"
    assert find_file(archive, "other.txt") is None


def test_image_folder_is_the_one_with_most_files(tmp_path: Path) -> None:
    files = {"w/Images/a.jpg": b"", "w/Images/b.jpg": b"", "Images/a.jpg": b"", "myImages/c": b""}
    found = image_folder(zipped(tmp_path / "c", files), ("Images",))
    assert found == {"a.jpg": "w/Images/a.jpg", "b.jpg": "w/Images/b.jpg"}


def test_columns_are_read_by_name_with_line_numbers(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbfsports, image ,x\n"a, b",1.jpg,\n\nc,2.jpg,9\n'
    archive = zipped(tmp_path / "c", {"t.csv": content})
    rows = read_columns(archive, "t.csv", ("image", "sports"))
    assert rows == [(2, ["1.jpg", "a, b"]), (4, ["2.jpg", "c"])]


@pytest.mark.parametrize("name", ["", "..", ".", "../a.jpg", "/a.jpg", "b\\..\\a", "a\0"])
def test_path_traversal_in_a_list_is_refused(name: str) -> None:
    with pytest.raises(UserFacingError, match=r"t\.csv line 2: .*no path below"):
        inner_path(name, "t.csv line 2")
    assert inner_path("./b\\..é 日.jpg", "x") == "b/..é 日.jpg"
