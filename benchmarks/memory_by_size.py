"""How memory grows with the corpus: tokenizing, embedding and locked pretraining.

    python benchmarks/memory_by_size.py [--base 200] [--factors 1 10 100]

The images are few pictures with other bytes behind their end, and their captions end in a
number of their own, so that each is computed anew; they are seen small, since what is kept of one
does not depend on that. All are trained on. Memory is the largest sum of proportional set sizes
over a side's processes.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd
from contrastive_corpus import TABLE, write_corpus
from verify_real import GIB, watch

from sports_clip_pipeline.data.image_store import ImageStore, write_index, write_shard

HERE = Path(__file__).resolve().parent
SIDE = 64
STEPS = ("tokenize", "embed", "pretrain")


def grow(base: Path, folder: Path, factor: int) -> int:
    """A corpus `factor` times as large, as a store and a table; how many images it has."""
    few = pd.read_parquet(base / TABLE)
    store = ImageStore(base / "store")
    jpegs = [store.get_bytes(row) for row in range(len(store))]
    place = folder / "store"
    place.mkdir(parents=True)
    names, shards, digests = [], [], []
    for copy in range(factor):
        own = [jpeg + copy.to_bytes(4, "big") for jpeg in jpegs]
        digests += [hashlib.sha256(jpeg).hexdigest() for jpeg in own]
        called = [f"{copy}-{name}" for name in few["image"]]
        names += called
        shard = write_shard(place / f"shard-{copy:05d}.arrow", called, own)
        shards.append({**shard, "dropped": []})
    write_index(place, shards)
    every = [own for _ in range(factor) for own in few["captions"]]
    said = [[f"{line} {number}" for line in own] for number, own in enumerate(every)]
    table = pd.concat([few] * factor, ignore_index=True)
    table = table.assign(image=names, stored_sha256=digests, captions=said)
    table.to_parquet(folder / TABLE)
    return len(names)


def peak_bytes(step: str, folder: Path) -> int:
    """The largest memory of one step, in a process of its own."""
    process = subprocess.Popen([sys.executable, __file__, "--step", step, "--folder", str(folder)])
    peak, done = [0], threading.Event()
    watcher = threading.Thread(target=watch, args=(process.pid, peak, done), daemon=True)
    watcher.start()
    status = process.wait()
    done.set()
    watcher.join()
    if status:
        raise RuntimeError(f"the step {step} ended with status {status}")
    return peak[0]


def run_step(step: str, folder: Path) -> None:
    """Each reads what the one before has written, as the pipelines of these names do."""
    from contrastive_sides import CONTEXT, TEXT_ENCODER, manifest_of

    from sports_clip_pipeline.io import Arrays, ParquetTable

    manifest = manifest_of(folder)
    captions = ParquetTable(filepath=str(folder / "captions.parquet"))
    image, text = (
        Arrays(filepath=str(folder / f"{name}.safetensors"), mapped=True)
        for name in ("image", "text")
    )
    if step == "tokenize":
        from sports_clip_pipeline.data.captions import caption_table
        from sports_clip_pipeline.encoders.text_encoders import caption_tokenizer

        captions.save(caption_table(manifest, caption_tokenizer(TEXT_ENCODER, CONTEXT)))
        return
    if step == "pretrain":
        from sports_clip_pipeline.io.state import RunState
        from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
        from sports_clip_pipeline.training.contrastive import pretrain_projections
        from sports_clip_pipeline.training.image_text_pairs import pairs_of_split

        features = image.load()["features"], text.load()["features"]
        pairs = pairs_of_split(*features, manifest, captions.load(), "train")
        once = PretrainConfig(epochs=2)
        pretrain_projections(pairs, lambda found: {}, once, RunState(), "benchmark")
        return

    from sports_clip_pipeline.encoders.embedder import Embedder
    from sports_clip_pipeline.encoders.features import FeatureCache
    from sports_clip_pipeline.io.state import RunState
    from sports_clip_pipeline.pipelines.embed.config import EmbedConfig

    config = EmbedConfig(
        image_encoder="lite0", text_encoder=TEXT_ENCODER, image_size=SIDE, backend="onnxruntime"
    )
    embedder = Embedder(config, FeatureCache(folder / "cache"), RunState())
    image.save(embedder.images("images", ImageStore(folder / "store"), manifest))
    text.save(embedder.captions(list(captions.load()["token_ids"])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=int, default=200, help="images at 1 × (default: 200)")
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        run_step(given.step, given.folder)
        return
    print(f"| images |{''.join(f' {step} GiB | s |' for step in STEPS)}")
    print("|---|" + "---|---|" * len(STEPS))
    with tempfile.TemporaryDirectory() as place:
        base = write_corpus(Path(place) / "base", None, given.base)
        for factor in given.factors:
            folder = Path(place) / str(factor)
            cells = [f"{grow(base, folder, factor):,}"]
            for step in STEPS:
                start = time.perf_counter()
                peak = peak_bytes(step, folder)
                cells += [f"{peak / GIB:.2f}", f"{time.perf_counter() - start:.0f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
