"""What pretraining's and zero-shot's settings are worth, one factor at a time.

    python benchmarks/zero_shot_factors.py --raw-dir data/01_raw/real [--only "one view"]

Each factor is a run of `embed`, `pretrain` and `zero_shot` with one setting changed, in a copy of
the project under build/ that shares the finished study's files by hard links; the study itself is
not touched. What `docs/results.md` says of zero-shot's parts stands in the report's ablation; this
adds what takes another training. Rows are printed, and written to docs/pretraining-factors.md. A
run that is killed goes on with the next one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

PROJECT = Path(__file__).resolve().parents[1]
COPY = PROJECT / "build/zero_shot_factors"
KEPT = COPY / "measured"
PAGE = PROJECT / "docs/pretraining-factors.md"
# The additional_encoders see no caption, so they are left out.
SINGLE = "embed.additional_encoders="


@dataclass(frozen=True)
class Factor:
    """One changed setting.

    Attributes:
        name: of the row. what: differs, in words. settings: as on the command line.
        seeds: of pretraining.
    """

    name: str
    what: str
    settings: str = ""
    seeds: tuple[int, ...] = (0, 1, 2)


FACTORS = (
    Factor("as shipped", "two views, five captions, InfoNCE, 1,024 images a step, encoders locked"),
    Factor("one caption", "plain InfoNCE: one an image", "pretrain.captions_per_image=1"),
    Factor("SigLIP", "each pair a yes or no", "pretrain.loss=siglip"),
    Factor("soft targets", "the 2022 notebook's loss", "pretrain.loss=soft_targets"),
    Factor("256 images a step", "a smaller batch", "pretrain.batch_size=256"),
    Factor("one view", "the whole image alone", "embed.views=full", (0,)),
    Factor("Lite0", "the smaller image encoder", "embed.image_encoder=lite0", (0,)),
    Factor("last block unlocked", "two epochs more, through the pixels of the last stage",
           "pretrain.unlocked_image_blocks=1", (0,)),
    Factor("mirrored views too", "four views",
           "embed.views=full+centre+full_flip+centre_flip", (0,)),
)  # fmt: skip
TOGETHER = ("Lite2 and Lite0", "log-probabilities of both, evenly", ("as shipped", "Lite0"))


def copy_study() -> None:
    """The project and what its study has made, linked; nothing happens where it is there."""
    if COPY.is_dir():
        return
    for folder in ("conf", "src"):
        shutil.copytree(PROJECT / folder, COPY / folder)
    for file in ("pyproject.toml", ".telemetry"):
        if (PROJECT / file).exists():
            shutil.copy(PROJECT / file, COPY / file)
    for layer in ("02_intermediate", "03_primary", "04_feature", "05_model_input", "08_reporting"):
        if (PROJECT / "data" / layer).is_dir():
            shutil.copytree(PROJECT / "data" / layer, COPY / "data" / layer, copy_function=os.link)


def run_factor(factor: Factor, seed: int, raw_dir: Path) -> None:
    """One run, unless it was measured; what it gave is kept by its name."""
    place = KEPT / f"{factor.name}-{seed}.json"
    if place.is_file():
        return
    parts = (f"raw_dir={raw_dir}", SINGLE, f"pretrain.seed={seed}", factor.settings)
    given = "--params=" + ",".join(part for part in parts if part)
    command = [sys.executable, "-m", "kedro", "run", "--env=real"]
    subprocess.run(
        [*command, "--pipelines=embed,pretrain,zero_shot", given],
        cwd=COPY,
        check=True,
        env={**os.environ, "PYTHONPATH": str(COPY / "src")},
    )
    reporting = COPY / "data/08_reporting/real"
    ablation = pd.read_parquet(reporting / "ablation.parquet").set_index("name")
    retrieval = json.loads((reporting / "retrieval_metrics.json").read_text())
    KEPT.mkdir(exist_ok=True)
    predictions = COPY / "data/07_model_output/real/zero_shot_predictions.parquet"
    shutil.copy(predictions, place.with_suffix(".parquet"))
    record = {
        "t2i": retrieval["t2i"]["r5"],
        "i2t": retrieval["i2t"]["r5"],
        "plain": float(ablation.loc["names and sentences", "top1"]),
        "final": float(ablation.loc["without hubs", "top1"]),
    }
    partial = place.with_suffix(".partial")
    partial.write_text(json.dumps(record))
    partial.replace(place)


def together(names: tuple[str, ...]) -> float:
    """Top-1 of several runs' mean log-probabilities on the test split, seed 0."""
    tables = [pd.read_parquet(KEPT / f"{name}-0.parquet") for name in names]
    tables = [table[table["split"] == "test"].reset_index(drop=True) for table in tables]
    logits = [np.log(np.stack(table["probabilities"].to_list()) + 1e-9) for table in tables]
    bank = yaml.safe_load((COPY / "conf/real/parameters_class_bank.yml").read_text())
    classes = np.array([entry["label"] for entry in bank["class_bank"]["classes"]])
    best = classes[np.mean(logits, axis=0).argmax(axis=1)]
    return float((best == tables[0]["label"].to_numpy()).mean())


def measured(factor: Factor) -> list[dict[str, Any]]:
    """What its runs gave, those that were made."""
    places = [KEPT / f"{factor.name}-{seed}.json" for seed in factor.seeds]
    return [json.loads(place.read_text()) for place in places if place.is_file()]


def cell(values: list[float]) -> str:
    """Mean in per cent, with the least and the largest where there are several."""
    shares = [100 * value for value in values]
    mean = f"{statistics.mean(shares):.1f}"
    return mean if len(shares) == 1 else f"{mean} ({min(shares):.1f} to {max(shares):.1f})"


def page() -> str:
    """The table of what was measured."""
    lines = [
        "# What pretraining's settings are worth, one at a time",
        "",
        "Written by `python benchmarks/zero_shot_factors.py`; do not edit. Recall on the Flickr8k",
        "test part and zero-shot top-1 on the evaluation images, per cent: the mean over",
        "pretraining seeds, with the least and the largest of them. An interval over images",
        "is ±2 points wide for every row, and is shared by them. Nothing was chosen by these",
        "numbers. *Plain*: cosines to names and sentences; *final*: with ImageNet names and",
        "without hubs, both weighed anew on held-out captions.",
        "",
        "| factor | what differs | seeds | text to image R@5 | image to text R@5 | plain | final |",
        "|---|---|---|---|---|---|---|",
    ]
    for factor in FACTORS:
        runs = measured(factor)
        if runs:
            cells = [cell([run[key] for run in runs]) for key in ("t2i", "i2t", "plain", "final")]
            row = [factor.name, factor.what, str(len(runs)), *cells]
            lines.append("| " + " | ".join(row) + " |")
    name, what, members = TOGETHER
    if all((KEPT / f"{member}-0.json").is_file() for member in members):
        lines.append(f"| {name} | {what} | 1 | – | – | – | {100 * together(members):.1f} |")
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw-dir", type=Path, default=PROJECT / "data/01_raw/real")
    parser.add_argument("--only", choices=[factor.name for factor in FACTORS], help="one factor")
    given = parser.parse_args()
    copy_study()
    for factor in FACTORS:
        for seed in factor.seeds if given.only in (None, factor.name) else ():
            run_factor(factor, seed, given.raw_dir.resolve())
            PAGE.write_text(page())
    print(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
