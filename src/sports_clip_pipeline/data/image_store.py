"""A store of images: Arrow shards, read by row, behind an index that is written last.

A folder with `index.json` and `shard-00000.arrow`, …. Each shard is an uncompressed Arrow IPC file
with the columns `image` (string) and `jpeg` (large_binary, a baseline RGB JPEG), so that any Arrow
reader opens it. Rows that duplicates have cost their place are named in the index (`dropped`);
row i of the store counts the others.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.fingerprint import file_sha256
from sports_clip_pipeline.io.state import replacing_folder, write_atomically

INDEX = "index.json"
FORMAT = "sports-clip-image-store/1"
_SCHEMA = pa.schema([("image", pa.string()), ("jpeg", pa.large_binary())])
_REMEDY = "delete the folder and run the ingest pipeline again"


@dataclass(frozen=True)
class _Column:
    """The images of a shard.

    The file is opened for each reading: no open file is held, and none of its pages counts as this
    process's memory.

    Attributes:
        path: of the file. identity: of the very file, which another may replace.
        start: where the bytes of its first image stand.
        offsets: (R + 1,) int64; where each image begins after that, and the last one ends.
    """

    path: Path
    identity: tuple[int, int, int]
    start: int
    offsets: np.ndarray

    def read(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to `end`.

        Raises: UserFacingError: the file cannot be read, or is another one by now.
        """
        try:
            with self.path.open("rb") as file:
                if _identity(os.fstat(file.fileno())) != self.identity:
                    what = "was made anew while it was read"
                    raise UserFacingError(self.path, what, "run it again")
                file.seek(self.start + begin)
                return file.read(end - begin)
        except OSError as error:
            raise UserFacingError(self.path, f"cannot be read ({error})", _remedy(error)) from error


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_dev, status.st_ino, status.st_size


def _remedy(error: Exception) -> str:
    """A file that is gone or damaged is made again; what else a disk says is no fault of it."""
    refused = getattr(error, "errno", None) not in (None, errno.ENOENT)
    return "make it readable, then run it again" if refused else _REMEDY


class ImageStore:
    """The images of one corpus, by row.

    Opening reads the index alone; where a shard's images stand is learned when it is first asked
    for one. A store crosses process borders as its path.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the store. Raises: UserFacingError: no complete store stands there."""
        self.path = Path(path)
        self._index = _read_index(self.path)
        kept = [
            np.delete(np.arange(shard["rows"], dtype=np.int64), shard["dropped"])
            for shard in self._index["shards"]
        ]
        self._row = np.concatenate([np.empty(0, np.int64), *kept])
        self._shard = np.repeat(np.arange(len(kept)), [len(rows) for rows in kept])
        self._columns: dict[int, _Column] = {}

    def __len__(self) -> int:
        return len(self._row)

    def get_bytes(self, i: int) -> bytes:
        """The JPEG of row i. Raises: IndexError: i is outside 0..len-1."""
        if not 0 <= i < len(self):
            raise IndexError(f"row {i} of a store of {len(self)} images")
        column, row = self._column(int(self._shard[i])), self._row[i]
        begin, end = column.offsets[row : row + 2]
        return column.read(int(begin), int(end))

    def get(self, i: int) -> Image.Image:
        """The image of row i, upright, mode RGB. Raises: IndexError: i is outside 0..len-1."""
        image = Image.open(io.BytesIO(self.get_bytes(i)), formats=("JPEG",))
        image.load()
        return image

    def iter_shards(self) -> Iterator[tuple[int, list[bytes]]]:
        """Row of the first image and the JPEGs of each shard, in order; all of them once."""
        start = 0
        while start < len(self):
            stop = int(np.searchsorted(self._shard, self._shard[start], side="right"))
            column = self._column(int(self._shard[start]))
            whole = column.read(0, int(column.offsets[-1]))
            bounds = (column.offsets[row : row + 2] for row in self._row[start:stop])
            yield start, [whole[begin:end] for begin, end in bounds]
            start = stop

    def verify(self) -> None:
        """Read everything once. Raises: UserFacingError: a shard is not what the index says."""
        for shard in self._index["shards"]:
            path = self.path / shard["file"]
            if not path.is_file() or file_sha256(path) != shard["sha256"]:
                raise UserFacingError(path, "is missing or damaged", _REMEDY)

    def _column(self, number: int) -> _Column:
        """Where a shard's images stand in its file."""
        if number not in self._columns:
            path = self.path / self._index["shards"][number]["file"]
            try:
                identity = _identity(path.stat())
                with pa.memory_map(str(path)) as file:
                    everything = file.read_buffer()
                    batch = pa.ipc.open_file(everything).get_batch(0)
            except (OSError, ValueError) as error:  # Arrow says both of what is damaged
                raise UserFacingError(path, f"cannot be read ({error})", _remedy(error)) from error
            _, offsets, data = batch.column(1).buffers()
            start = data.address - everything.address if data.size else 0
            found = _Column(path, identity, start, np.frombuffer(offsets, np.int64).copy())
            self._columns[number] = found
        return self._columns[number]

    def __reduce__(self) -> tuple[type[ImageStore], tuple[Path]]:
        return type(self), (self.path,)

    def __repr__(self) -> str:
        return f"ImageStore({str(self.path)!r}, {len(self)} images)"


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.arrow"


def write_shard(path: Path, images: Sequence[str], jpegs: Sequence[bytes]) -> dict[str, Any]:
    """Write one shard, whole or not at all.

    Returns: its line of the index: `file`, `rows`, `bytes`, `sha256`.
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
    """Complete a store: `shards` are the lines of `write_shard`, each with its list `dropped`."""
    length = sum(shard["rows"] - len(shard["dropped"]) for shard in shards)
    index = {"format": FORMAT, "length": length, "shards": list(shards)}
    write_atomically(folder / INDEX, json.dumps(index, indent=1).encode())


def publish(store: ImageStore, folder: Path) -> None:
    """Save a store in `folder`: shards are hard-linked where possible, else copied.

    Nothing is done if the same store is already there.

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
