"""Image store: a folder of Arrow shards with JPEGs, read by row, and an index written last.

`index.json` and `shard-00000.arrow`, …: each shard is an uncompressed Arrow IPC file with the
columns `image` (string) and `jpeg` (large_binary, a baseline RGB JPEG), which any Arrow reader
opens. The index lists the rows dropped as duplicates; row i of the store counts the others.
"""

import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from PIL import Image

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import replacing_folder, write_atomically

INDEX = "index.json"
FORMAT = "sports-clip-image-store/1"
_SCHEMA = pa.schema([("image", pa.string()), ("jpeg", pa.large_binary())])
_REMEDY = "delete the folder and run the ingest pipeline again"


class ImageStore:
    """The images of one corpus, by row.

    Opening reads only the index; a shard is opened for each read; a store is pickled as its path.

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
        self._layouts: dict[int, tuple[tuple[int, int, int], np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self._row)

    def get_bytes(self, i: int) -> bytes:
        """The JPEG of row i.

        Raises:
            IndexError: i is outside 0..len-1.
            UserFacingError: its shard is missing, damaged, unreadable or replaced.
        """
        if not 0 <= i < len(self):
            raise IndexError(f"row {i} of a store of {len(self)} images")
        number, row = int(self._shard[i]), self._row[i]
        path = self.path / self._index["shards"][number]["file"]
        try:
            if number not in self._layouts:
                self._layouts[number] = _read_layout(path)
            identity, offsets = self._layouts[number]
            with path.open("rb") as file:
                if _identity(os.fstat(file.fileno())) != identity:
                    raise UserFacingError(path, "was replaced while it was read", "run again")
                file.seek(offsets[row])
                return file.read(offsets[row + 1] - offsets[row])
        except (OSError, ValueError) as error:  # Arrow raises both for damaged files
            is_lost = getattr(error, "errno", None) in (None, errno.ENOENT)
            remedy = _REMEDY if is_lost else "make it readable, then run it again"
            raise UserFacingError(path, f"cannot be read ({error})", remedy) from error

    def get(self, i: int) -> Image.Image:
        """The image of row i, upright, mode RGB. Raises: as `get_bytes`."""
        image = Image.open(io.BytesIO(self.get_bytes(i)), formats=("JPEG",))
        image.load()
        return image

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        return type(self), (self.path,)

    def __repr__(self) -> str:
        return f"ImageStore({str(self.path)!r}, {len(self)} images)"


def _read_layout(path: Path) -> tuple[tuple[int, int, int], np.ndarray]:
    """Identity of a shard's file, and (R + 1,) int64: where its JPEGs begin and the last one ends.

    Raises: OSError, ValueError: the file is missing or damaged.
    """
    identity = _identity(path.stat())
    with pa.memory_map(str(path)) as file:
        content = file.read_buffer()
        batch = pa.ipc.open_file(content).get_batch(0)
    _, offsets, data = batch.column(1).buffers()
    start = data.address - content.address if data.size else 0
    return identity, np.frombuffer(offsets, np.int64) + start


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    """Device, inode and size, which change if a file is replaced."""
    return status.st_dev, status.st_ino, status.st_size


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
