"""What the frame around the work costs: Kedro with MLflow in a run, checkpoints in training.

    python benchmarks/overhead.py [--force]

A copy of the project runs the whole DAG on the drawn sample, in a fresh process without anything
computed before. Its wall time less the time inside the nodes' functions, and less that of reading
and writing datasets, which any program would have to do, is what Kedro (start, configuration,
catalog) and MLflow take together. Training an encoder's last stage then runs with a state on
disk every 50 steps, and the seconds inside `save_state` are told beside those of the whole.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from contrastive_corpus import write_corpus
from contrastive_speed import write_clip
from side_by_side import add_force, refuse_when_busy

PROJECT = Path(__file__).resolve().parents[1]
FRAME, STATES = 0.05, 0.03


def run_sample(project: Path) -> None:
    """In a process of its own: the whole DAG, and the clock's seconds to `clock.json`."""
    from kedro.framework.hooks import hook_impl
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project)
    began, inside = [0.0], {"nodes": 0.0, "files": 0.0}

    def since(part: str) -> None:
        inside[part] += time.perf_counter() - began[0]

    class Clock:
        """Adds up the seconds inside the nodes' functions, and inside reading and writing."""

        @hook_impl(trylast=True)
        def before_node_run(self) -> None:
            began[0] = time.perf_counter()

        @hook_impl(tryfirst=True)
        def after_node_run(self) -> None:
            since("nodes")

        @hook_impl(trylast=True)
        def before_dataset_loaded(self) -> None:
            began[0] = time.perf_counter()

        @hook_impl(tryfirst=True)
        def after_dataset_loaded(self) -> None:
            since("files")

        @hook_impl(trylast=True)
        def before_dataset_saved(self) -> None:
            began[0] = time.perf_counter()

        @hook_impl(tryfirst=True)
        def after_dataset_saved(self) -> None:
            since("files")

    with KedroSession.create(project) as session:
        session._hook_manager.register(Clock())
        session.run()
    (project / "clock.json").write_text(json.dumps(inside))


def frame_share(folder: Path) -> tuple[float, float]:
    """Seconds of the whole run, and the share outside of nodes' functions and of datasets."""
    project = folder / "project"
    for name in ("conf", "src"):
        shutil.copytree(PROJECT / name, project / name)
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(PROJECT / name, project / name)
    environment = {**os.environ, "PYTHONPATH": str(project / "src"), "HF_HUB_OFFLINE": "1"}
    sample = [sys.executable, "-m", "sports_clip_sample", "--out", "data/01_raw/sample"]
    subprocess.run(sample, cwd=project, env=environment, check=True, capture_output=True)
    start = time.perf_counter()
    command = [sys.executable, str(Path(__file__).resolve()), "--inside", str(project)]
    subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
    whole_s = time.perf_counter() - start
    inside = json.loads((project / "clock.json").read_text())
    return whole_s, 1.0 - sum(inside.values()) / whole_s


def state_share(folder: Path, images: int) -> tuple[float, float]:
    """Seconds of training, and the share inside `save_state`."""
    from contrastive_sides import encoder_pairs

    from sports_clip_pipeline.clip.folder import load_clip
    from sports_clip_pipeline.io.state import RunState
    from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
    from sports_clip_pipeline.training.contrastive import UnlockedTask, train_encoders
    from sports_clip_pipeline.training.distributed import Compute

    spent = [0.0]

    class Clocked(RunState):
        def save_state(self, *arguments: Any, **named: Any) -> None:
            start = time.perf_counter()
            super().save_state(*arguments, **named)
            spent[0] += time.perf_counter() - start

    corpus = write_corpus(folder / "corpus", None, images)
    write_clip(corpus, "lite0")
    pairs, view = encoder_pairs(corpus, "lite0")
    config = PretrainConfig(unlocked_image_blocks=1, encoder_batch_size=16, encoder_epochs=2)
    start = time.perf_counter()
    task = UnlockedTask(
        load_clip(corpus / "clip").model, pairs, pairs, lambda *emb: {}, view, config,
        Compute("cpu", "fp32"),
    )  # fmt: skip
    train_encoders(task, Clocked(folder / "state"), "benchmark")
    whole_s = time.perf_counter() - start
    return whole_s, spent[0] / whole_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=800, help="of training (default: 800)")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    add_force(parser)
    given = parser.parse_args()
    if given.inside:
        run_sample(given.inside)
        return 0
    load = refuse_when_busy(given.force)
    print(f"load average {load:.1f}\n\n| what | whole s | share | |\n|---|---|---|---|")
    short = False
    with tempfile.TemporaryDirectory() as place:
        parts = (
            ("Kedro and MLflow in the sample's DAG", partial(frame_share, Path(place)), FRAME),
            ("saved states in training", partial(state_share, Path(place), given.images), STATES),
        )
        for name, measure, bound in parts:
            whole_s, share = measure()
            short |= share > bound
            told = "pass" if share <= bound else "**short**"
            row = f"| {name} | {whole_s:.0f} | {share:.1%} | {told} (at most {bound:.0%}) |"
            print(row, flush=True)
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
