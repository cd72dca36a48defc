"""What holds accuracy back: the encoders' size, the images' size, wrong labels.

    python benchmarks/limits.py [--env real] [--images 2500]

Everything is measured by held-out folds of the development split of a finished study; the
evaluation images are not looked at. Three tables are printed: ridge regression on every set of
the study's encoders; ridge regression on the first encoder's features at several resolutions, on a
seeded part of the images; and how many labels held-out answers of the stacked ensemble doubt.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from trial_cost import BATCH, FinishedStudy, study_of

from sports_clip_pipeline.encoders.backends import EncoderProgram, build_backend
from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.fewshot.active_learning import find_issues
from sports_clip_pipeline.fewshot.base import Labelled, Task
from sports_clip_pipeline.fewshot.cross_validation import assign_folds
from sports_clip_pipeline.fewshot.study import StudyData, finished_trials
from sports_clip_pipeline.fewshot.trial import TrialKey
from sports_clip_pipeline.machine import cores

SIZES = (96, 128, 160, 224, 288)


def ridge_top1(
    data: StudyData, config: Any, features: np.ndarray, target: np.ndarray, widths: tuple[int, ...]
) -> float:
    """Held-out accuracy of ridge regression on these columns."""
    fold = assign_folds(target, np.arange(len(target)), config.folds, 0)
    pretrained = replace(data.pretrained, space="all_encoders", widths=widths)
    rows = Labelled(features, target, fold, len(pretrained.zero_shot_weights))
    return float(config.method("ridge").fit(Task(rows, pretrained)).cv_top1)


def encoders_table(data: StudyData, config: Any, names: list[str]) -> list[str]:
    """Ridge on every set of encoders, with a tenth of the labels and with all."""
    blocks = np.split(data.features, np.cumsum(data.pretrained.widths)[:-1], axis=1)
    lines = ["| encoders | 10 % of the labels | all labels |", "|---|---|---|"]
    for count in range(1, len(names) + 1):
        for chosen in itertools.combinations(range(len(names)), count):
            columns = np.hstack([blocks[i] for i in chosen])
            widths = tuple(data.pretrained.widths[i] for i in chosen)
            cells = []
            for fraction in (0.1, 1.0):
                rows = data.labelled_rows(TrialKey("ridge", fraction, 0))
                top1 = ridge_top1(data, config, columns[rows], data.target[rows], widths)
                cells.append(f"{100 * top1:.1f}")
            lines.append(f"| {' + '.join(names[i] for i in chosen)} | {' | '.join(cells)} |")
    return lines


def sizes_table(study: FinishedStudy, encoder: str, count: int) -> list[str]:
    """Ridge on one encoder's features at several resolutions."""
    data, store, rows_in_store = study.data, study.store, study.rows
    rows = np.sort(np.random.default_rng(0).permutation(len(data.target))[:count])
    lines = [f"| side of the square, pixels | {encoder}, {len(rows)} labels |", "|---|---|"]
    for size in SIZES:
        seen = image_preprocessing(encoder, size, "full")
        backend = build_backend(
            EncoderProgram("image", encoder, Path(), size), "torch_channels_last", cores()
        )
        blocks = [
            backend(seen.normalise([seen.crop(store.get(int(i))) for i in rows_in_store[block]]))[0]
            for block in np.array_split(rows, -(-len(rows) // BATCH))
        ]
        features = np.concatenate(blocks)
        width = (features.shape[1],)
        top1 = ridge_top1(data, study.config, features, data.target[rows], width)
        lines.append(f"| {size} | {100 * top1:.1f} |")
    return lines


def labels_table(study: FinishedStudy, labels: list[str]) -> list[str]:
    """Labels that held-out answers of the stacked ensemble doubt, and its accuracy without them."""
    data = study.data
    (trial,) = finished_trials(
        [TrialKey("stacked_ensemble", 1.0, 0)], data, study.config, study.state
    )
    held_out = trial.fit.held_out
    images = data.splits["image"].tolist()
    doubted = set(find_issues(images, data.target, held_out, labels)["image"])
    kept = np.array([image not in doubted for image in images])
    right = held_out.argmax(axis=1) == data.target
    return [
        "| | |",
        "|---|---|",
        f"| labels that held-out answers doubt | {len(doubted)} of {len(images)} "
        f"({100 * len(doubted) / len(images):.1f} %) |",
        f"| held-out accuracy on all | {100 * right.mean():.1f} |",
        f"| on those not doubted, an upper bound | {100 * right[kept].mean():.1f} |",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="real")
    parser.add_argument("--images", type=int, default=2500, help="for the resolutions")
    given = parser.parse_args()
    study = study_of(given.env)
    data, config = study.data, study.config
    names = [row["name"] for row in study.audit["encoders"]]
    order = {int(c): str(label) for c, label in zip(data.target, data.splits["label"], strict=True)}
    labels = [order[c] for c in range(len(order))]
    for make in (
        lambda: encoders_table(data, config, names),
        lambda: sizes_table(study, names[0], given.images),
        lambda: labels_table(study, labels),
    ):
        print("\n".join(make()), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
