from __future__ import annotations

from pathlib import Path

from sports_clip_pipeline.io import MovedFolder, MovedTable


def test_a_finished_file_is_moved_over_the_former_one(tmp_path: Path) -> None:
    place = tmp_path / "out" / "table.csv"
    dataset = MovedTable(filepath=str(place))
    for text in ("a,b\n1,2\n", "a,b\n3,4\n"):
        made = tmp_path / "made.csv"
        made.write_text(text)
        dataset.save(made)
        assert not made.exists()
        assert place.read_text() == text
    assert dataset.load().to_dict("list") == {"a": [3], "b": [4]}
    assert list(place.parent.iterdir()) == [place]


def test_a_filled_folder_takes_the_place_of_the_former_one(tmp_path: Path) -> None:
    dataset = MovedFolder(filepath=str(tmp_path / "out" / "maps"))
    assert not dataset.exists()
    for name in ("a.jpg", "b.jpg"):
        made = tmp_path / "made"
        made.mkdir(exist_ok=True)
        (made / name).write_bytes(b"x")
        dataset.save(made)
    assert [path.name for path in dataset.load().iterdir()] == ["b.jpg"]


def test_an_empty_folder_leaves_none(tmp_path: Path) -> None:
    dataset = MovedFolder(filepath=str(tmp_path / "maps"))
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "old.jpg").write_bytes(b"x")
    (tmp_path / "made").mkdir()
    dataset.save(tmp_path / "made")
    assert not dataset.exists()
