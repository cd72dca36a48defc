"""Run the DAG on the real corpora, measure it, and write docs/results.md.

Two runs are measured: the whole DAG, then the whole DAG again with one fine-tuning parameter
changed. A third runs with the settings of conf/; its numbers are the ones reported. Memory is the
largest sum over all processes of a run, sampled, of their proportional set sizes: a page that
several share is counted once. A first run that finds the features of an earlier
one is faster than from the zips; `make clean` makes it a fresh one.

    python benchmarks/verify_real.py --raw-dir data/01_raw/real
    python benchmarks/verify_real.py --report-only
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

PROJECT = Path(__file__).resolve().parents[1]
REPORTING = PROJECT / "data/08_reporting/real"
MEASURED = REPORTING / "verification.json"
RESULTS = PROJECT / "docs/results.md"
FACTORS = PROJECT / "docs/pretraining-factors.md"
CHOICE, CHANGES = PROJECT / "docs/nested-choice.md", PROJECT / "docs/protocol-changes.md"
CHANGED = "finetune.methods.notebook_mlp.lr=0.002"
SAMPLE_EVERY_S = 0.5
LABEL_FREE = "gda_em"
# Method, share of the labels, the least top-1 that is accepted.
WANTED = (
    ("logreg", "0.01", 0.62),
    ("logreg", "1.0", 0.85),
    ("stacked_ensemble", "0.01", 0.71),
    ("stacked_ensemble", "0.05", 0.82),
    ("stacked_ensemble", "0.1", 0.85),
    ("stacked_ensemble", "1.0", 0.90),
    ("gda_em", "0.01", 0.76),
    ("gda_em", "0.05", 0.82),
    ("gda_em", "0.1", 0.85),
)
# The same of end-to-end training, where it has run (hours; `--params=finetune.plan=end_to_end`).
WANTED_END_TO_END = (
    ("end_to_end_ensemble", "0.1", 0.85),
    ("end_to_end_ensemble", "1.0", 0.91),
)
GIB = 2**30


@dataclass(frozen=True)
class Check:
    """A measured value against its bound."""

    name: str
    value: float
    bound: float
    at_most: bool
    unit: str

    @property
    def passed(self) -> bool:
        """Whether the value is within the bound."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def row(self) -> str:
        """A row of the table."""
        sign = "≤" if self.at_most else "≥"
        verdict = "pass" if self.passed else "**short**"
        wanted, found = (show(number, self.unit) for number in (self.bound, self.value))
        return f"| {self.name} | {sign} {wanted} | {found} | {verdict} |"


def show(value: float, unit: str) -> str:
    """The value with its unit: shares as per cent, the rest as they are."""
    return f"{value:.1%}" if unit == "share" else f"{value:.2f} {unit}".strip()


@dataclass(frozen=True)
class Measured:
    """Seconds and bytes of the two runs, and what they ran on.

    Attributes:
        fresh: whether no features of an earlier run stood when the first one began.
    """

    whole_s: float
    again_s: float
    peak_bytes: int
    cores: int
    load_at_start: float
    fresh: bool
    remark: str = ""


def run_dag(raw_dir: Path, parameters: str = "") -> tuple[float, int]:
    """`kedro run --env=real` in a process of its own: wall seconds, peak resident bytes.

    Raises: RuntimeError: the run failed.
    """
    given = f"raw_dir={raw_dir}" + (f",{parameters}" if parameters else "")
    command = [str(Path(sys.executable).with_name("kedro")), "run", "--env=real"]
    start = time.perf_counter()
    process = subprocess.Popen([*command, f"--params={given}"], cwd=PROJECT)
    peak, done = [0], threading.Event()
    watcher = threading.Thread(target=watch, args=(process.pid, peak, done), daemon=True)
    watcher.start()
    status = process.wait()
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    if status:
        raise RuntimeError(f"the run ended with status {status}; its last line says why")
    return seconds, peak[0]


def watch(pid: int, peak: list[int], done: threading.Event) -> None:
    """Keep the largest resident sum of a process and all it started in `peak[0]`."""
    while not done.wait(SAMPLE_EVERY_S):
        peak[0] = max(peak[0], resident_bytes(pid))


def resident_bytes(pid: int) -> int:
    """Resident bytes of a process and its descendants, those that still live."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in family:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def measure(raw_dir: Path) -> Measured:
    """Both runs, and one more unmeasured. Raises: RuntimeError: one failed."""
    fresh = not any((PROJECT / "data/04_feature/cache").glob("*/*.safetensors"))
    fresh &= not (PROJECT / "data/03_primary/real").exists()
    load = os.getloadavg()[0]
    whole_s, first_peak = run_dag(raw_dir)
    again_s, second_peak = run_dag(raw_dir, CHANGED)
    run_dag(raw_dir)
    peak = max(first_peak, second_peak)
    return Measured(whole_s, again_s, peak, os.cpu_count() or 1, load, fresh)


def checks_of_numbers(metrics: dict[str, Any]) -> Iterator[Check]:
    """Checks of accuracy."""
    curves = metrics["finetune"]
    recall = metrics["retrieval"]["t2i"]["r5"]
    yield Check("zero-shot top-1", metrics["zero_shot"]["top1"], 0.53, False, "share")
    learned = transduction().set_index(["method", "split"]).loc[(LABEL_FREE, "development"), "top1"]
    name = "zero-shot with unlabelled development images"
    yield Check(name, float(learned), 0.63, False, "share")
    ran = [wanted for wanted in WANTED_END_TO_END if wanted[0] in curves]
    for method, fraction, bound in (*WANTED, *ran):
        name = f"`{method}`, {float(fraction):.0%} of the labels, top-1"
        yield Check(name, curves[method][fraction]["top1_mean"], bound, False, "share")
    yield Check("text to image recall@5, Flickr8k test", recall, 0.47, False, "share")


def table_of(name: str) -> pd.DataFrame:
    """A table of the finished study. Raises: FileNotFoundError."""
    return pd.read_parquet(REPORTING / f"{name}.parquet")


def transduction() -> pd.DataFrame:
    """Accuracy of transductive zero-shot classification."""
    return table_of("transduction")


def share_table(table: pd.DataFrame, heads: dict[str, str]) -> str:
    """Top-1 with its interval beside the named columns."""
    lines = [
        "| " + " | ".join(heads.values()) + " | top-1 |",
        "|---" * (len(heads) + 1) + "|",
    ]
    for row in table.to_dict("records"):
        top1 = cell({"top1_mean": row["top1"], "top1_ci95": (row["low"], row["high"])})
        lines.append("| " + " | ".join(str(row[name]) for name in heads) + f" | {top1} |")
    return "\n".join(lines)


def needed_table() -> str:
    """Labels needed for each accuracy; `>` marks what a curve does not reach by itself."""
    table = table_of("labels_needed")
    targets = sorted(table["target"].unique())
    lines = [
        "| method | " + " | ".join(f"{target:.1%}" for target in targets) + " |",
        "|---|" + "---|" * len(targets),
    ]
    for method, rows in table.groupby("method"):
        by_target = rows.set_index("target")
        cells = [needed_cell(by_target.loc[target]) for target in targets]
        lines.append(f"| `{method}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def needed_cell(row: pd.Series) -> str:
    """One number of labels with its interval."""
    if row["kind"] == "out of reach":
        return "–"
    if row["kind"] == "measured below":
        return f"≤ {row['labels']:.0f}"
    mark = "extrapolated " if row["kind"] == "extrapolated" else ""
    high = "∞" if row["high"] == float("inf") else f"{row['high']:.0f}"
    return f"{mark}{row['labels']:.0f} ({row['low']:.0f}–{high})"


def cost_table() -> str:
    """Accuracy beside inference cost."""
    table = table_of("inference_cost").sort_values("ms_per_image")
    lines = [
        "| method | encoders | parameters, M | ms an image | 1 % | 10 % | 100 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        found = [row[f"top1_{fraction}"] for fraction in ("0.01", "0.1", "1")]
        shares = ["–" if pd.isna(share) else f"{share:.1%}" for share in found]
        cost = f"{row['parameters'] / 1e6:.1f} | {row['ms_per_image']:.1f}"
        lines.append(
            f"| `{row['method']}` | {row['encoders']} | {cost} | " + " | ".join(shares) + " |"
        )
    return "\n".join(lines)


def checks_of_cost(measured: Measured) -> Iterator[Check]:
    """Checks of time and memory."""
    yield Check("whole DAG, wall time", measured.whole_s / 60, 25, True, "min")
    yield Check("peak resident memory", measured.peak_bytes / GIB, 4, True, "GiB")
    again = measured.again_s / measured.whole_s
    yield Check(f"again with `{CHANGED}`, share of the first", again, 0.25, True, "share")


def curves_table(metrics: dict[str, Any]) -> str:
    """Top-1 by method and fraction, with intervals."""
    points = metrics["finetune"]
    fractions = sorted({f for method in points.values() for f in method}, key=float)
    lines = [
        "| method | " + " | ".join(f"{float(f):.0%}" for f in fractions) + " |",
        "|---|" + "---|" * len(fractions),
    ]
    for method, by_fraction in points.items():
        cells = [
            cell(by_fraction.get(fraction)) + only_images(by_fraction.get(fraction), fraction)
            for fraction in fractions
        ]
        lines.append(f"| `{method}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(point: dict[str, Any] | None) -> str:
    """One point of a curve: mean and interval, in per cent."""
    if point is None:
        return "–"
    low, high = point["top1_ci95"]
    return f"{100 * point['top1_mean']:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def only_images(point: dict[str, Any] | None, fraction: str) -> str:
    """A mark where the interval cannot include the choice of the labelled images."""
    return " †" if point and len(point["seeds"]) == 1 and float(fraction) < 1 else ""


def cost_note(measured: Measured | None) -> str:
    """Machine and state that the times were measured on."""
    if measured is None:
        return "Time and memory were not measured with this run."
    started = "nothing of an earlier run there" if measured.fresh else (
        "**features or manifests of an earlier run already there**, so the time is too short"
    )  # fmt: skip
    return (
        f"Measured on {measured.cores} CPU cores, load average {measured.load_at_start:.1f} at the "
        f"start, with {started}: {measured.whole_s:.0f} s, then {measured.again_s:.0f} s. Memory "
        "is the largest sampled sum over all processes of a run; shared pages count once."
        + (f" {measured.remark}" if measured.remark else "")
    )


def results_page(metrics: dict[str, Any], checks: list[Check], measured: Measured | None) -> str:
    """The text of docs/results.md."""
    zero_shot, retrieval = metrics["zero_shot"], metrics["retrieval"]
    recalls = [
        f"| {name} | " + " | ".join(f"{retrieval[way][k]:.1%}" for k in ("r1", "r5", "r10")) + " |"
        for way, name in (("t2i", "text to image"), ("i2t", "image to text"))
    ]
    return "\n".join(
        [
            "# Results on the real corpora",
            "",
            "Written by `make verify-real` from `data/08_reporting/real/`; do not edit.",
            "How the corpora were split: [architecture.md](architecture.md).",
            "",
            "## Checks",
            "",
            "| what | wanted | measured | |",
            "|---|---|---|---|",
            *(check.row() for check in checks),
            "",
            cost_note(measured),
            "",
            "## Zero-shot, on the test images",
            "",
            "| top-1 | top-5 | macro-F1 |",
            "|---|---|---|",
            f"| {zero_shot['top1']:.1%} | {zero_shot['top5']:.1%} | {zero_shot['macro_f1']:.1%} |",
            "",
            "Ablation; nothing here was chosen by these numbers:",
            "",
            share_table(
                table_of("ablation"),
                {"name": "variant", "changed": "what changed", "chosen_on": "chosen on"},
            ),
            "",
            *included(FACTORS),
            "## With unlabelled images",
            "",
            "Transductive: with the development or the test images, without their labels:",
            "",
            share_table(
                transduction(),
                {"method": "method", "split": "learned from", "prior": "class prior assumed"},
            ),
            "",
            "## Retrieval, on the Flickr8k test split",
            "",
            "| direction | recall@1 | recall@5 | recall@10 |",
            "|---|---|---|---|",
            *recalls,
            "",
            "## Top-1 by share of the labels, per cent",
            "",
            "Mean over seeds, with a 95 % interval over images and seeds; †: one seed, so the",
            "interval is over images only and leaves out the choice of the labelled images.",
            "",
            "`gda_em`, `self_training` and `label_propagation` see the other development",
            "images without their labels too. Methods with three shares trained the image",
            "encoder end to end, one seed each; `end_to_end_ensemble` combines the best of them",
            "with `stacked_ensemble`.",
            "",
            curves_table(metrics),
            "",
            *included(CHOICE),
            *included(CHANGES),
            "## Labels needed to reach an accuracy",
            "",
            "Interpolated on the logarithm of the labels, with a 95 % interval; `–`: out of reach.",
            "",
            needed_table(),
            "",
            "## Accuracy and inference cost",
            "",
            "Milliseconds of one core through the encoders, all views, without decoding.",
            "",
            cost_table(),
            "",
        ]
    )


def included(page: Path) -> list[str]:
    """Lines of a page that another benchmark wrote, with its title one level down."""
    if not page.is_file():
        return []
    title, _, rest = page.read_text().partition("\n\n")
    return [f"#{title}", "", rest.replace("; do not edit.", ".").rstrip("\n"), ""]


def read_measured() -> Measured | None:
    """Time and memory of the last verification, if any."""
    return Measured(**json.loads(MEASURED.read_text())) if MEASURED.is_file() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw-dir", type=Path, default=PROJECT / "data/01_raw/real")
    parser.add_argument(
        "--report-only", action="store_true", help="rewrite the page from a run that is there"
    )
    given = parser.parse_args()
    try:
        if not given.report_only:
            measured = measure(given.raw_dir.resolve())
            MEASURED.write_text(json.dumps(asdict(measured), indent=2) + "\n")
        metrics = json.loads((REPORTING / "metrics.json").read_text())
        checks = list(checks_of_numbers(metrics))
    except RuntimeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except FileNotFoundError as error:
        print(f"Error: {error.filename}: is missing; run without --report-only", file=sys.stderr)
        return 1
    except KeyError as error:
        print(f"Error: {REPORTING / 'metrics.json'}: has no {error}; run again", file=sys.stderr)
        return 1
    last = read_measured()
    checks += list(checks_of_cost(last)) if last else []
    RESULTS.write_text(results_page(metrics, checks, last))
    print("\n| what | wanted | measured | |\n|---|---|---|---|")
    print("\n".join(check.row() for check in checks))
    print(f"\n{RESULTS}")
    return int(not all(check.passed for check in checks))


if __name__ == "__main__":
    sys.exit(main())
