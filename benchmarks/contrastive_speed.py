"""The contrastive engine beside open_clip's own tools, whole processes in turn.

    python benchmarks/contrastive_speed.py [--archive flickr8k.zip] [--only embed] [--force]

* embed: all images to embeddings, against eager `encode_image` over torch's DataLoader, the
  best of {0, 1, 2} workers and {1, 2} threads on a part of them;
* locked: captions and images to projections over locked encoders, features made on the way,
  against open_clip's trainer with both encoders locked;
* loading, unlocked: an epoch through the image encoder with the captions' features at hand, and its
  reading alone, against a loader that decodes an image for each of its captions.

open_clip's trainer wants two packages that nothing else here does (`pip install braceexpand
webdataset`); without them that row is left out.

Without an archive the images are drawn; a rate of theirs says little of real ones.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from contrastive_corpus import add_archive, write_corpus
from side_by_side import Process, add_force, refuse_when_busy, take_turns, verdict

from sports_clip_pipeline.machine import cores

HERE = Path(__file__).resolve().parent
PARTS = ("embed", "locked", "loading", "unlocked")
TRIED = 256
WHOLE_EPOCHS, WHOLE_IMAGES = 30, 8091


def side(name: str, folder: Path, *options: object) -> Process:
    """A side as a process; ours begins without anything computed before."""
    forget = partial(shutil.rmtree, folder / "cache", ignore_errors=True)
    script = [sys.executable, HERE / "contrastive_sides.py", name, folder]
    return Process([*script, *map(str, options)], before=forget)


def write_clip(folder: Path, encoder: str) -> None:
    """A CLIP folder with random projections, for both sides."""
    from sports_clip_pipeline.clip.folder import write_clip_folder
    from sports_clip_pipeline.clip.projections import Projections
    from sports_clip_pipeline.encoders.image_encoders import image_encoder, image_preprocessing
    from sports_clip_pipeline.encoders.text_encoders import text_encoder_spec

    rng = np.random.default_rng(0)
    widths = image_encoder(encoder).width, text_encoder_spec("minilm").width
    image, text = (rng.normal(0, 0.05, (512, width)).astype(np.float32) for width in widths)
    projections = Projections(image, np.zeros(512, np.float32), text, 2.66)
    view = image_preprocessing(encoder, 224, "full")
    write_clip_folder(folder / "clip", projections, encoder, "minilm", view, 64)


def fastest_loader(folder: Path, *options: str) -> tuple[int, int]:
    """Workers and threads with which theirs embeds a part of the images fastest."""
    settings = list(itertools.product((0, 1, 2), sorted({1, 2, cores()})))
    taken = {
        (workers, threads): side(
            "embed-theirs", folder, "--workers", workers, "--threads", threads,
            "--first", TRIED, *options,
        ).wall_s()
        for workers, threads in settings
    }  # fmt: skip
    return min(taken, key=lambda setting: taken[setting])


def embed(folder: Path, given: argparse.Namespace) -> list[str]:
    rows = []
    for label, options, wanted in (
        ("contiguous", (), 3.0),
        ("channels last", ("--channels-last",), 0.0),
    ):
        workers, threads = fastest_loader(folder, *options)
        theirs = side("embed-theirs", folder, "--workers", workers, "--threads", threads, *options)
        sides = {"ours": side("embed-ours", folder, "--encoder", given.encoder), "theirs": theirs}
        taken = take_turns(sides, given.runs)
        ours, other = (np.load(folder / f"{name}.npy") for name in ("ours", "theirs"))
        apart = float((1.0 - (ours * other).sum(axis=1)).max())
        what = (
            f"embed {given.images} images; open_clip {label}, {workers} workers × {threads} threads"
        )
        told = f"at most {apart:.0e} of cosine apart"
        rows.append(row(what, taken, wanted, told))
    return rows


def locked(folder: Path, given: argparse.Namespace) -> list[str]:
    missing = [name for name in ("braceexpand", "webdataset") if find_spec(name) is None]
    if missing:
        return [f"| locked pretraining | not run | `pip install {' '.join(missing)}` | | | |"]
    command = [
        sys.executable, "-m", "open_clip_train.main", "--model", f"local-dir:{folder / 'clip'}",
        "--train-data", folder / "pairs.csv", "--dataset-type", "csv", "--csv-separator", ",",
        "--csv-img-key", "image", "--csv-caption-key", "caption", "--batch-size", "128",
        "--epochs", given.epochs, "--workers", cores(), "--lock-image", "--lock-text",
        "--device", "cpu", "--precision", "fp32", "--logs", folder / "logs",
        "--save-frequency", "0", "--warmup", "10",
    ]  # fmt: skip
    forget = partial(shutil.rmtree, folder / "logs", ignore_errors=True)
    options = ("--encoder", given.encoder, "--epochs", given.epochs)
    sides = {
        "ours": side("pretrain-ours", folder, *options),
        "theirs": Process(command, before=forget),
    }
    if given.epochs > 1:
        shorter = [1 if part == given.epochs else part for part in command]
        sides["one epoch of theirs"] = Process(shorter, before=forget)
    taken = take_turns(sides, given.runs)
    what = f"locked pretraining, {given.images} images × 5 captions × {given.epochs} epochs"
    rows = [row(what, taken, 8.0, "features made on the way")]
    if given.epochs == 1:
        return rows
    per_epoch_s = json.loads((folder / "ours.json").read_text())["per_epoch_s"]
    share = WHOLE_IMAGES / given.images
    features_s = taken["ours"] - given.epochs * per_epoch_s  # its start counted with them
    once_s = taken["one epoch of theirs"]
    slope_s = (taken["theirs"] - once_s) / (given.epochs - 1)
    whole = {
        "ours": share * (features_s + WHOLE_EPOCHS * per_epoch_s),
        "theirs": once_s - slope_s + share * WHOLE_EPOCHS * slope_s,
    }
    what = f"the same, {WHOLE_IMAGES:,} images, {WHOLE_EPOCHS} epochs"
    return [*rows, row(what, whole, 0.0, "computed from an epoch's cost and the start")]


def loading(folder: Path, given: argparse.Namespace) -> list[str]:
    sides = {
        "ours": side("loading-ours", folder, "--encoder", given.encoder),
        "theirs": side("loading-theirs", folder, "--workers", cores()),
    }
    whole = take_turns(sides, given.runs)
    taken = {name: json.loads((folder / f"loading-{name}.json").read_text()) for name in sides}
    told = " and ".join(f"{seconds:.1f}" for seconds in whole.values())
    what = f"reading an epoch of {given.images} images × 5 captions"
    return [row(what, taken, 5.0, f"inside the loop; whole processes {told} s")]


def unlocked(folder: Path, given: argparse.Namespace) -> list[str]:
    sides = {
        "ours": side("unlocked-ours", folder, "--encoder", given.encoder),
        "theirs": side("unlocked-theirs", folder, "--workers", 1),
    }
    taken = take_turns(sides, given.runs)
    what = f"an epoch through the image encoder, {given.images} images × 5 captions"
    stall = json.loads((folder / "stall.json").read_text())
    return [row(what, taken, 3.0, f"ours waits for images {stall:.1%} of the epoch")]


def row(what: str, taken: dict[str, float], wanted: float, remark: str) -> str:
    """A row of the table."""
    ratio = taken["theirs"] / taken["ours"]
    told = verdict(ratio, wanted) if wanted else "reported"
    seconds = " | ".join(f"{taken[name]:.1f}" for name in ("ours", "theirs"))
    return f"| {what} | {seconds} | {ratio:.1f} | {told} | {remark} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_archive(parser, 1000)
    parser.add_argument(
        "--encoder", default="lite2", help="packaged image encoder (default: lite2)"
    )
    parser.add_argument("--epochs", type=int, default=5, help="of locked pretraining (default: 5)")
    parser.add_argument("--runs", type=int, default=1, help="runs of each side (default: 1)")
    parser.add_argument("--only", choices=PARTS, help="one part, not all")
    add_force(parser)
    given = parser.parse_args()
    load = refuse_when_busy(given.force)
    print(f"medians of {given.runs} runs in turn, {cores()} cores, load average {load:.1f}\n")
    print("| what | ours s | theirs s | ratio | | |\n|---|---|---|---|---|---|")
    short = False
    with tempfile.TemporaryDirectory() as place:
        folder = write_corpus(Path(place), given.archive, given.images)
        write_clip(folder, given.encoder)
        for part in PARTS:
            if given.only in (None, part):
                for line in globals()[part](folder, given):
                    print(line, flush=True)
                    short |= "short" in line
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
