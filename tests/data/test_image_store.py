import os
import pickle
import resource
from pathlib import Path

import pyarrow as pa
import pytest

from sports_clip_pipeline.data.image_store import ImageStore, publish, write_index, write_shard
from sports_clip_pipeline.errors import UserFacingError
from tests.data.factories import jpeg

JPEGS = [jpeg(seed, 40 + seed, 32) for seed in range(5)]


def make_store(folder: Path, dropped: tuple[list[int], list[int]] = ([], [])) -> ImageStore:
    """Five images in shards of three and two."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = [
        write_shard(folder / "shard-00000.arrow", ["a", "b", "c"], JPEGS[:3]),
        write_shard(folder / "shard-00001.arrow", ["d", "e"], JPEGS[3:]),
    ]
    write_index(folder, [{**s, "dropped": gone} for s, gone in zip(shards, dropped, strict=True)])
    return ImageStore(folder)


def assert_complete(folder: Path) -> None:
    store = ImageStore(folder)
    assert [store.get_bytes(i) for i in range(len(store))] == JPEGS


def test_rows_are_read_in_any_order_without_dropped_ones(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    assert len(store) == 5
    assert [store.get_bytes(i) for i in (4, 0, 3, 1, 2)] == [JPEGS[i] for i in (4, 0, 3, 1, 2)]
    image = store.get(2)
    assert (image.mode, image.size) == ("RGB", (42, 32))
    for i in (-1, 5):
        with pytest.raises(IndexError, match=f"row {i} of a store of 5"):
            store.get(i)
    store = make_store(tmp_path, ([0, 2], [1]))
    assert [store.get_bytes(i) for i in range(len(store))] == [JPEGS[1], JPEGS[3]]


def test_store_and_shard_may_be_empty(tmp_path: Path) -> None:
    write_index(tmp_path, [])
    assert len(ImageStore(tmp_path)) == 0
    shard = write_shard(tmp_path / "shard-00000.arrow", [], [])
    write_index(tmp_path, [{**shard, "dropped": []}])
    assert len(ImageStore(tmp_path)) == 0


def test_arrow_opens_a_shard(tmp_path: Path) -> None:
    make_store(tmp_path)
    with pa.memory_map(str(tmp_path / "shard-00000.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
    assert table.column("image").to_pylist() == ["a", "b", "c"]
    assert table.column("jpeg").to_pylist() == JPEGS[:3]


@pytest.mark.parametrize("content", ["", "[]", '{"format": "other/2"}', "{"])
def test_missing_or_invalid_index_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(UserFacingError, match="no complete image store; run the ingest pipeline"):
        ImageStore(tmp_path)
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(UserFacingError, match="is no index of a store"):
        ImageStore(tmp_path)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def overwrite_footer(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-30:-22] = b"\xff" * 8
    path.write_bytes(content)


def without_rows(path: Path) -> None:
    with pa.ipc.new_file(str(path), pa.schema([])):
        pass


@pytest.mark.parametrize("damage", [cut_short, overwrite_footer, without_rows, Path.unlink])
def test_damaged_or_missing_shard_is_an_error(tmp_path: Path, damage) -> None:
    store = make_store(tmp_path)
    damage(tmp_path / "shard-00001.arrow")
    with pytest.raises(UserFacingError, match=r"1\.arrow: cannot be read.*delete the folder"):
        store.get(4)


def test_replaced_shard_is_an_error_for_an_open_store(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    assert store.get_bytes(0) == JPEGS[0]
    write_shard(tmp_path / "shard-00000.arrow", list("cba"), JPEGS[2::-1])
    with pytest.raises(UserFacingError, match="was replaced while it was read; run again"):
        store.get_bytes(0)
    assert ImageStore(tmp_path).get_bytes(0) == JPEGS[2]


def test_shards_are_not_kept_open(tmp_path: Path) -> None:
    shards = [
        write_shard(tmp_path / f"shard-{n:05d}.arrow", [str(n)], [JPEGS[n % 5]]) for n in range(60)
    ]
    write_index(tmp_path, [{**shard, "dropped": []} for shard in shards])
    store = ImageStore(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = sum(1 for _ in Path("/dev/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 20, hard))
    try:
        assert [store.get_bytes(n) for n in range(60)] == [JPEGS[n % 5] for n in range(60)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_unreadable_file_is_not_reported_as_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(tmp_path)
    store.get(4)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserFacingError, match=r"Too many open files.*make it readable"):
        store.get(4)


def test_store_is_pickled_as_its_path(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    store.get(0)
    data = pickle.dumps(store)
    assert len(data) < 500
    assert pickle.loads(data).get_bytes(4) == JPEGS[4]


def test_publish_links_the_shards_once_and_replaces_other_stores(tmp_path: Path) -> None:
    store, folder = make_store(tmp_path / "work"), tmp_path / "deep" / "folder"
    publish(make_store(tmp_path / "old", ([0], [0])), folder)
    publish(store, folder)
    assert (folder / "shard-00000.arrow").samefile(tmp_path / "work" / "shard-00000.arrow")
    inode = folder.stat().st_ino
    publish(store, folder)
    publish(ImageStore(folder), folder)
    assert folder.stat().st_ino == inode
    (folder / "shard-00001.arrow").unlink()
    publish(store, folder)
    assert_complete(folder)
    assert list(folder.parent.iterdir()) == [folder]


def test_publish_copies_if_links_are_impossible(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    publish(make_store(tmp_path / "work"), tmp_path / "folder")
    assert_complete(tmp_path / "folder")


def test_failed_publish_leaves_the_old_store(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    publish(make_store(tmp_path / "old", ([0], [])), folder)
    store = make_store(tmp_path / "work")
    (tmp_path / "work" / "shard-00001.arrow").unlink()
    with pytest.raises(UserFacingError, match="shard-00001"):
        publish(store, folder)
    assert len(ImageStore(folder)) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "old", "work"]
