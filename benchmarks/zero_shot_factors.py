"""What views, captions, towers and unlocked blocks are worth to zero-shot, one at a time.

    python benchmarks/zero_shot_factors.py --raw-dir data/01_raw/real [--only "one view"]

Each factor is a run of `embed`, `pretrain` and `zero_shot` with one setting changed, in a copy of
the project under build/ that shares the finished study's files by hard links; the study itself is
not touched. What `docs/results.md` says of zero-shot's parts stands in the report's ablation; this
adds what takes another training. Rows are printed, and written to docs/zero-shot-factors.md. A
run that is killed goes on with the next factor.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

PROJECT = Path(__file__).resolve().parents[1]
COPY = PROJECT / "build/zero_shot_factors"
KEPT = COPY / "measured"
PAGE = PROJECT / "docs/zero-shot-factors.md"
SINGLE = "embed.companions="
# Name, what differs, settings. The companions see no caption, so they are left out.
FACTORS = (
    ("as shipped", "whole photograph and its middle, five captions, towers locked", ""),
    ("one view", "the whole photograph alone", "embed.views=full"),
    ("mirrored views too", "four views", "embed.views=full+centre+full_flip+centre_flip"),
    ("one caption", "one caption a photograph in a batch", "pretrain.captions_per_image=1"),
    ("last block unlocked", "two epochs through the pixels", "pretrain.unlocked_image_blocks=1"),
    ("Lite0", "the smaller tower", "embed.image_tower=lite0"),
)
TOGETHER = ("Lite2 and Lite0", "log-probabilities of both, evenly", ("as shipped", "Lite0"))


def copy_study() -> None:
    """The project and what its study has made, linked; nothing happens where it is there."""
    if COPY.is_dir():
        return
    for folder in ("conf", "src"):
        shutil.copytree(PROJECT / folder, COPY / folder)
    for file in ("pyproject.toml", ".telemetry"):
        shutil.copy(PROJECT / file, COPY / file)
    for layer in ("02_intermediate", "03_primary", "04_feature", "05_model_input", "06_models"):
        if (PROJECT / "data" / layer).is_dir():
            shutil.copytree(PROJECT / "data" / layer, COPY / "data" / layer, copy_function=os.link)


def run_factor(name: str, settings: str, raw_dir: Path) -> None:
    """One factor's run, unless it was measured; what it gave is kept by its name."""
    place = KEPT / f"{name}.json"
    if place.is_file():
        return
    given = ",".join(part for part in (f"raw_dir={raw_dir}", SINGLE, settings) if part)
    pipelines = "--pipelines=ingest,tokenize,embed,pretrain,zero_shot"
    command = [sys.executable, "-m", "kedro", "run", "--env=real", pipelines, f"--params={given}"]
    start = time.perf_counter()
    subprocess.run(
        command, cwd=COPY, check=True, env={**os.environ, "PYTHONPATH": str(COPY / "src")}
    )
    seconds = time.perf_counter() - start
    reporting = COPY / "data/08_reporting/real"
    ablation = pd.read_parquet(reporting / "ablation.parquet").set_index("name")
    retrieval = json.loads((reporting / "retrieval_metrics.json").read_text())
    KEPT.mkdir(exist_ok=True)
    predictions = COPY / "data/07_model_output/real/zero_shot_predictions.parquet"
    shutil.copy(predictions, KEPT / f"{name}.parquet")
    record = {
        "t2i": retrieval["t2i"]["r5"],
        "plain": _interval(ablation.loc["names and sentences"]),
        "final": _interval(ablation.loc["without hubs"]),
        "seconds": seconds,
    }
    partial = place.with_suffix(".partial")
    partial.write_text(json.dumps(record))
    partial.replace(place)


def together(names: tuple[str, ...]) -> float:
    """Top-1 of several runs' mean log-probabilities on the evaluation part."""
    tables = [pd.read_parquet(KEPT / f"{name}.parquet") for name in names]
    tables = [table[table["part"] == "evaluation"].reset_index(drop=True) for table in tables]
    logits = [np.log(np.stack(table["probabilities"].to_list()) + 1e-9) for table in tables]
    bank = yaml.safe_load((COPY / "conf/real/parameters_class_bank.yml").read_text())
    classes = np.array(list(bank["class_bank"]["classes"]))
    best = classes[np.mean(logits, axis=0).argmax(axis=1)]
    return float((best == tables[0]["label"].to_numpy()).mean())


def _interval(row: pd.Series) -> list[float]:
    return [float(row[name]) for name in ("top1", "low", "high")]


def _cell(values: list[float]) -> str:
    top1, low, high = (100 * value for value in values)
    return f"{top1:.1f} ({low:.1f}–{high:.1f})"


def page() -> str:
    """The table of what was measured."""
    lines = [
        "# What takes another training: zero-shot, one factor at a time",
        "",
        "Written by `python benchmarks/zero_shot_factors.py`; do not edit. Top-1 on the evaluation",
        "photographs, per cent, with a 95 % interval over photographs; one pretraining seed.",
        "Nothing was chosen by these numbers. *Plain*: cosines to names and sentences; *final*:",
        "with ImageNet names and without hubs, both weighed anew on held-out captions.",
        "",
        "| factor | what differs | text to image R@5 | plain | final |",
        "|---|---|---|---|---|",
    ]
    for name, what, _ in FACTORS:
        place = KEPT / f"{name}.json"
        if place.is_file():
            kept: dict[str, Any] = json.loads(place.read_text())
            cells = f"{100 * kept['t2i']:.1f} | {_cell(kept['plain'])} | {_cell(kept['final'])}"
            lines.append(f"| {name} | {what} | {cells} |")
    name, what, members = TOGETHER
    if all((KEPT / f"{member}.json").is_file() for member in members):
        lines.append(f"| {name} | {what} | – | – | {100 * together(members):.1f} |")
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw-dir", type=Path, default=PROJECT / "data/01_raw/real")
    parser.add_argument("--only", choices=[name for name, *_ in FACTORS], help="one factor")
    given = parser.parse_args()
    copy_study()
    for name, _, settings in FACTORS:
        if given.only in (None, name):
            run_factor(name, settings, given.raw_dir.resolve())
    PAGE.write_text(page())
    print(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
