"""A trial of the study from cached features, beside the same trial from the images.

    python benchmarks/trial_cost.py [--env real] [--method stacked_ensemble] [--fraction 0.1]

Both sides fit the same classifier on the same images of a study that has run: the labelled
ones, and the other development images too where the method learns from them. One reads their
features; the other computes them first, on all cores, with the encoders and views of the study, as
refitting without a cache would. Sides take turns; medians and their ratio are printed.

The last line is computed, not run: what the trials of the study took, each with what it reused of
another one, beside the same with the measured seconds an image added for all that a trial learns
from (and, for a method that reads one encoder, with that encoder's share of them).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.encoders.backends import EncoderProgram, build_backend
from sports_clip_pipeline.encoders.weights import file_name
from sports_clip_pipeline.fewshot.base import METHODS, Task
from sports_clip_pipeline.fewshot.study import StudyData
from sports_clip_pipeline.fewshot.trial import TrialKey
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.pipelines.finetune.config import FinetuneConfig
from sports_clip_pipeline.pipelines.finetune.nodes import select_development
from sports_clip_pipeline.predictor.predictor import EncoderInput

PROJECT = Path(__file__).resolve().parents[1]
BATCH = 32


@dataclass(frozen=True)
class FinishedStudy:
    """What a study left.

    Attributes:
        data: its development split. store: of the images. rows: (n,) their rows in the store.
        audit: of the encoders. config: of the frozen plan. trials: the table. state: its state.
    """

    data: StudyData
    store: Any
    rows: np.ndarray
    audit: dict[str, Any]
    config: FinetuneConfig
    trials: pd.DataFrame
    state: Any


def study_of(env: str) -> FinishedStudy:
    """The study of an environment, from its catalog."""
    bootstrap_project(PROJECT)
    with KedroSession.create(project_path=PROJECT, env=env) as session:
        catalog = session.load_context().catalog
        names = (
            "splits",
            "clip_sports_features",
            "zero_shot_weights",
            "zero_shot_head",
            "clip_model",
        )
        bank = _built(ClassBank, catalog.load("params:class_bank"))
        data = select_development(*(catalog.load(name) for name in names), bank)
        config = _built(FinetuneConfig, catalog.load("params:finetune"))
        store, manifest = catalog.load("sports_images"), catalog.load("sports_manifest")
        rest = [catalog.load(name) for name in ("embed_audit", "finetune_trials", "finetune_state")]
    place = {image: row for row, image in enumerate(manifest["image"])}
    rows = np.array([place[image] for image in data.splits["image"]])
    audit, trials, state = rest
    return FinishedStudy(data, store, rows, audit, config, trials, state)


def _built(kind: Any, block: Any) -> Any:
    """A parameter block as its dataclass; Kedro may have built it already."""
    return block if isinstance(block, kind) else kind(**block)


def embed(store: Any, rows: np.ndarray, audit: dict[str, Any]) -> np.ndarray:
    """Features (n, ΣD) of images, on all cores, without the cache."""
    blocks = []
    for row in audit["encoders"]:
        encoder = EncoderInput.from_dict(row)
        size = encoder.preprocessing.size
        path = next(
            (PROJECT / "data/04_feature/cache/onnx").glob(
                f"{file_name(encoder.name)}-{size}-*.onnx"
            )
        )
        backend = build_backend(
            EncoderProgram("image", encoder.name, path, size), row["backend"], cores()
        )
        views = [
            np.concatenate(
                [
                    backend(
                        transform.normalise(
                            [transform.crop(store.get(int(i))) for i in rows[s : s + BATCH]]
                        )
                    )[0]
                    for s in range(0, len(rows), BATCH)
                ]
            )
            for transform in encoder.each_view()
        ]
        blocks.append(np.mean(views, axis=0))
    return np.hstack(blocks).astype(np.float32)


def describe_plan(
    trials: pd.DataFrame, development: int, audit: dict[str, Any], image_s: float
) -> str:
    """Seconds a trial of the whole plan, from the cache and with every image seen again.

    Args:
        development: images that a method with unlabelled ones learns from.
        image_s: seconds of all cores for one image through all encoders and views.
    """
    times = [encoder["ms_per_image"] for encoder in audit["encoders"]]
    alone = times[0] / sum(times)
    share = trials["method"].map(
        lambda name: 1.0 if METHODS[name].space == "all_encoders" else alone
    )
    cached = float(trials["elapsed_s"].sum()) / cores()
    everything = trials["method"].map(lambda name: METHODS[name].unlabelled)
    seen = trials["labels"].where(~everything, development)
    again = float((seen * share).sum()) * image_s
    return (
        f"The plan's {len(trials)} trials: {cached / len(trials):.2f} s a trial from the cache, "
        f"{(cached + again) / len(trials):.1f} s with the images, "
        f"{(cached + again) / cached:.1f} x (computed)"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="base")
    parser.add_argument("--method", default="stacked_ensemble", choices=sorted(METHODS))
    parser.add_argument("--fraction", type=float, default=0.25)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    study = study_of(given.env)
    data, audit, config = study.data, study.audit, study.config
    trial, spec = TrialKey(given.method, given.fraction, 0), METHODS[given.method]
    pretrained = replace(data.pretrained, space=spec.space)
    labelled, rows = data.labelled(trial, config.folds), data.labelled_rows(trial)
    rest = np.delete(np.arange(len(data.target)), rows) if spec.unlabelled else rows[:0]
    mine, others = study.rows[rows], study.rows[rest]
    cached_hidden = data.features[rest] if spec.unlabelled else None
    seconds: dict[str, list[float]] = {"from cached features": [], "from the images": []}
    for _ in range(given.rounds):
        for side, times in seconds.items():
            start = time.perf_counter()
            used = replace(labelled)  # with an empty result cache
            hidden = cached_hidden
            if side == "from the images":
                used = replace(labelled, features=embed(study.store, mine, audit))
                hidden = embed(study.store, others, audit) if spec.unlabelled else None
            config.method(given.method).fit(Task(used, pretrained, 0, hidden))
            times.append(time.perf_counter() - start)
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    cached, fresh = medians.values()
    learned_from = len(mine) + len(others)
    print(
        f"{given.method}, {len(mine)} labels of {learned_from} images, {cores()} cores, "
        f"medians of {given.rounds}:\n"
    )
    print("| trial | seconds |\n|---|---|")
    for side, median in medians.items():
        print(f"| {side} | {median:.2f} |")
    print(f"\n{fresh / cached:.1f} x cheaper from the cache")
    development = len(data.splits)
    print(describe_plan(study.trials, development, audit, (fresh - cached) / learned_from))
    return 0


if __name__ == "__main__":
    sys.exit(main())
