"""Which file format serves images fastest: by row at random, and all in order.

    python benchmarks/image_store.py [--archive PATH.zip] [--images N] [--reads N]

Writes the same JPEGs as Arrow IPC (the store), Parquet, an uncompressed zip, a flat file with an
index, and loose files; each is read in a fresh process with warm file caches, so what is measured
is the format and not the disk. Without an archive the JPEGs are drawn noise.
"""

from __future__ import annotations

import argparse
import io
import json
import mmap
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from sports_clip_pipeline.data.image_store import ImageStore, write_index, write_shard

SHARD = 512
Reader = tuple[Callable[[int], bytes], Callable[[], int]]


def write_arrow(folder: Path, jpegs: list[bytes]) -> None:
    starts = range(0, len(jpegs), SHARD)
    shards = []
    for number, start in enumerate(starts):
        chunk = jpegs[start : start + SHARD]
        names = [str(start + k) for k in range(len(chunk))]
        shards.append({**write_shard(folder / f"shard-{number:05d}.arrow", names, chunk)})
    write_index(folder, [{**shard, "dropped": []} for shard in shards])


def read_arrow(folder: Path) -> Reader:
    store = ImageStore(folder)
    return store.get_bytes, lambda: sum(len(store.get_bytes(i)) for i in range(len(store)))


def write_parquet(folder: Path, jpegs: list[bytes]) -> None:
    table = pa.table({"jpeg": pa.array(jpegs, pa.large_binary())})
    pq.write_table(
        table,
        folder / "images.parquet",
        compression="none",
        row_group_size=32,
        use_dictionary=False,
    )


def read_parquet(folder: Path) -> Reader:
    file = pq.ParquetFile(folder / "images.parquet", memory_map=True)

    def get(i: int) -> bytes:
        return file.read_row_group(i // 32, columns=["jpeg"]).column(0)[i % 32].as_py()

    def all_bytes() -> int:
        return sum(len(j) for b in file.iter_batches(SHARD) for j in b.column(0).to_pylist())

    return get, all_bytes


def write_zip(folder: Path, jpegs: list[bytes]) -> None:
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for number, jpeg in enumerate(jpegs):
            archive.writestr(f"{number}.jpg", jpeg)


def read_zip(folder: Path) -> Reader:
    archive = zipfile.ZipFile(folder / "images.zip")
    count = len(archive.namelist())
    return (
        lambda i: archive.read(f"{i}.jpg"),
        lambda: sum(len(archive.read(f"{i}.jpg")) for i in range(count)),
    )


def write_flat(folder: Path, jpegs: list[bytes]) -> None:
    (folder / "images.bin").write_bytes(b"".join(jpegs))
    np.save(folder / "offsets.npy", np.cumsum([0, *map(len, jpegs)]))


def read_flat(folder: Path) -> Reader:
    offsets = np.load(folder / "offsets.npy").tolist()
    with (folder / "images.bin").open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def get(i: int) -> bytes:
        return data[offsets[i] : offsets[i + 1]]

    return get, lambda: sum(len(get(i)) for i in range(len(offsets) - 1))


def write_files(folder: Path, jpegs: list[bytes]) -> None:
    for number, jpeg in enumerate(jpegs):
        (folder / f"{number}.jpg").write_bytes(jpeg)


def read_files(folder: Path) -> Reader:
    count = len(list(folder.iterdir()))
    return (
        lambda i: (folder / f"{i}.jpg").read_bytes(),
        lambda: sum(len((folder / f"{i}.jpg").read_bytes()) for i in range(count)),
    )


FORMATS = {
    "Arrow IPC": (write_arrow, read_arrow),
    "Parquet, row groups of 32": (write_parquet, read_parquet),
    "zip, uncompressed": (write_zip, read_zip),
    "flat file and offsets, mapped": (write_flat, read_flat),
    "loose files": (write_files, read_files),
}


def noise(count: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    jpegs = []
    for _ in range(count):
        blocks = Image.fromarray(rng.integers(0, 256, (28, 28, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        blocks.resize((224, 224), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=92)
        jpegs.append(buffer.getvalue())
    return jpegs


def from_archive(path: Path, count: int) -> list[bytes]:
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if n.endswith(".jpg")][:count]
        return [archive.read(name) for name in names]


def measure(name: str, folder: Path, images: int, reads: int) -> dict[str, float]:
    """Read in this process: opening, random rows, everything in order."""
    start = time.perf_counter()
    get, all_bytes = FORMATS[name][1](folder)
    get(0)
    opened = time.perf_counter()
    rows = np.random.default_rng(1).integers(0, images, reads).tolist()
    for row in rows:
        get(row)
    random = time.perf_counter()
    total = all_bytes()
    done = time.perf_counter()
    return {
        "open_ms": 1e3 * (opened - start),
        "random_us": 1e6 * (random - opened) / reads,
        "sequential_mb_s": total / 1e6 / (done - random),
    }


def measure_apart(name: str, folder: Path, images: int, reads: int) -> dict[str, float]:
    """The median of five fresh processes."""
    call = [sys.executable, __file__, "--measure", name, str(folder), str(images), str(reads)]
    runs = [
        json.loads(subprocess.run(call, check=True, capture_output=True).stdout) for _ in range(5)
    ]
    return {key: float(np.median([run[key] for run in runs])) for key in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", type=Path, help="a zip of JPEGs; drawn noise without it")
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--reads", type=int, default=5000)
    chosen = parser.parse_args()
    jpegs = from_archive(chosen.archive, chosen.images) if chosen.archive else noise(chosen.images)
    print(f"{len(jpegs)} JPEGs, {sum(map(len, jpegs)) / 1e6:.1f} MB, {chosen.reads} random reads\n")
    print("| format | write s | size MB | open ms | random µs | in order MB/s |")
    print("|---|---|---|---|---|---|")
    for name, (write, _) in FORMATS.items():
        with tempfile.TemporaryDirectory() as place:
            start = time.perf_counter()
            write(Path(place), jpegs)
            seconds = time.perf_counter() - start
            size = sum(path.stat().st_size for path in Path(place).iterdir()) / 1e6
            seen = measure_apart(name, Path(place), len(jpegs), chosen.reads)
        print(
            f"| {name} | {seconds:.2f} | {size:.1f} | {seen['open_ms']:.1f} | "
            f"{seen['random_us']:.1f} | {seen['sequential_mb_s']:,.0f} |"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        name, folder, images, reads = sys.argv[2:]
        print(json.dumps(measure(name, Path(folder), int(images), int(reads))))
    else:
        main()
