"""Image store: a folder of Arrow shards with JPEGs, read by row, and an index written last.

`index.json` and `shard-00000.arrow`, …: each shard is an uncompressed Arrow IPC file with the
columns `image` (string) and `jpeg` (large_binary, a baseline RGB JPEG), which any Arrow reader
opens. The index lists the rows dropped as duplicates; row i of the store counts the others.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import replacing_folder, write_atomically

INDEX = "index.json"
FORMAT = "sports-clip-image-store/1"
_SCHEMA = pa.schema([("image", pa.string()), ("jpeg", pa.large_binary())])
_REMEDY = "delete the folder and run the ingest pipeline again"


@dataclass(frozen=True)
class _Shard:
    """Byte offsets of a shard's JPEGs; the file is opened for each read.

    Attributes:
        identity: device, inode and size, which change if the file is replaced.
        start: file offset of the first JPEG.
        offsets: (R + 1,) int64; start of each JPEG after that, and the end of the last one.
    """

    path: Path
    identity: tuple[int, int, int]
    start: int
    offsets: np.ndarray

    @classmethod
    def open(cls, path: Path) -> _Shard:
        """Read the offsets. Raises: UserFacingError: the file is missing or damaged."""
        try:
            identity = _identity(path.stat())
            with pa.memory_map(str(path)) as file:
                content = file.read_buffer()
                batch = pa.ipc.open_file(content).get_batch(0)
        except (OSError, ValueError) as error:  # Arrow raises both for damaged files
            raise _unreadable(path, error) from error
        _, offsets, data = batch.column(1).buffers()
        start = data.address - content.address if data.size else 0
        return cls(path, identity, start, np.frombuffer(offsets, np.int64).copy())

    def read(self, begin: int, end: int) -> bytes:
        """Bytes from `begin` to `end`. Raises: UserFacingError: unreadable, or replaced."""
        try:
            with self.path.open("rb") as file:
                if _identity(os.fstat(file.fileno())) != self.identity:
                    raise UserFacingError(self.path, "was replaced while it was read", "run again")
                file.seek(self.start + begin)
                return file.read(end - begin)
        except OSError as error:
            raise _unreadable(self.path, error) from error


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_dev, status.st_ino, status.st_size


def _unreadable(path: Path, error: Exception) -> UserFacingError:
    is_lost = getattr(error, "errno", None) in (None, errno.ENOENT)
    remedy = _REMEDY if is_lost else "make it readable, then run it again"
    return UserFacingError(path, f"cannot be read ({error})", remedy)


class ImageStore:
    """The images of one corpus, by row.

    Opening reads only the index; a store is pickled as its path.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the store. Raises: UserFacingError: the store is missing or incomplete."""
        self.path = Path(path)
        self._index = _read_index(self.path)
        rows = [
            np.delete(np.arange(shard["rows"], dtype=np.int64), shard["dropped"])
            for shard in self._index["shards"]
        ]
        self._row = np.concatenate([np.empty(0, np.int64), *rows])
        self._shard = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
        self._opened: dict[int, _Shard] = {}

    def __len__(self) -> int:
        return len(self._row)

    def get_bytes(self, i: int) -> bytes:
        """The JPEG of row i. Raises: IndexError: i is outside 0..len-1."""
        if not 0 <= i < len(self):
            raise IndexError(f"row {i} of a store of {len(self)} images")
        shard, row = self._open(int(self._shard[i])), self._row[i]
        begin, end = shard.offsets[row : row + 2]
        return shard.read(int(begin), int(end))

    def get(self, i: int) -> Image.Image:
        """The image of row i, upright, mode RGB. Raises: IndexError: i is outside 0..len-1."""
        image = Image.open(io.BytesIO(self.get_bytes(i)), formats=("JPEG",))
        image.load()
        return image

    def _open(self, number: int) -> _Shard:
        if number not in self._opened:
            path = self.path / self._index["shards"][number]["file"]
            self._opened[number] = _Shard.open(path)
        return self._opened[number]

    def __reduce__(self) -> tuple[type[ImageStore], tuple[Path]]:
        return type(self), (self.path,)

    def __repr__(self) -> str:
        return f"ImageStore({str(self.path)!r}, {len(self)} images)"


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.arrow"


def write_shard(path: Path, images: Sequence[str], jpegs: Sequence[bytes]) -> dict[str, Any]:
    """Write one shard atomically.

    Returns: its index entry: `file`, `rows`, `bytes`, `sha256`.
    """
    columns = [pa.array(images, pa.string()), pa.array(jpegs, pa.large_binary())]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _SCHEMA) as writer:
        writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
    content = sink.getvalue()
    write_atomically(path, content)
    digest = hashlib.sha256(content).hexdigest()
    return {"file": path.name, "rows": len(images), "bytes": content.size, "sha256": digest}


def write_index(folder: Path, shards: Sequence[dict[str, Any]]) -> None:
    """Complete a store; `shards` are index entries of `write_shard` with the list `dropped`."""
    length = sum(shard["rows"] - len(shard["dropped"]) for shard in shards)
    index = {"format": FORMAT, "length": length, "shards": list(shards)}
    write_atomically(folder / INDEX, json.dumps(index, indent=1).encode())


def publish(store: ImageStore, folder: Path) -> None:
    """Save a store in `folder`, unless it is there; shards are hard-linked or else copied.

    Raises: UserFacingError: the folder cannot be written.
    """
    if store.path.resolve() == folder.resolve() or _is_same_store(store, folder):
        return
    with replacing_folder(folder) as partial:
        for shard in store._index["shards"]:
            source, target = store.path / shard["file"], partial / shard["file"]
            try:
                os.link(source, target)
            except OSError:
                shutil.copyfile(source, target)
        write_atomically(partial / INDEX, (store.path / INDEX).read_bytes())


def _is_same_store(store: ImageStore, folder: Path) -> bool:
    index = folder / INDEX
    if not index.is_file() or index.read_bytes() != (store.path / INDEX).read_bytes():
        return False
    sizes = ((folder / shard["file"], shard["bytes"]) for shard in store._index["shards"])
    return all(path.is_file() and path.stat().st_size == size for path, size in sizes)


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    if not path.is_file():
        raise UserFacingError(folder, "holds no complete image store", "run the ingest pipeline")
    try:
        index = json.loads(path.read_bytes())
        if index["format"] != FORMAT:
            raise ValueError(f"format {index['format']!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise UserFacingError(path, f"is no index of a store ({error})", _REMEDY) from error
    return dict(index)
