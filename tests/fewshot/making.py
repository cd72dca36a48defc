"""Toy corpora for the methods and the study: classes around separate directions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sports_clip_pipeline.clip.projections import Pretrained
from sports_clip_pipeline.fewshot.base import Labelled
from sports_clip_pipeline.fewshot.cross_validation import assign_folds
from sports_clip_pipeline.fewshot.study import StudyData
from sports_clip_pipeline.pipelines.finetune.config import FinetuneConfig

WIDTH, SPACE = 12, 8
FAST = FinetuneConfig(
    fractions=(0.2, 1.0),
    seeds=2,
    folds=3,
    methods={
        "notebook_mlp": {"steps": [20, 60]},
        "logreg": {"c": [3.0, 30.0]},
        "logreg_clip_text_init": {"c": [0.1, 1.0]},
    },
    workers=1,
)


def toy(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Separable features (rows, WIDTH), non-negative as pooled activations are, and classes."""
    rng = np.random.default_rng(seed)
    target = np.arange(rows) % classes
    features = np.abs(rng.normal(0, 0.15, (rows, WIDTH)))
    features[np.arange(rows), target] += 1.0
    return features.astype(np.float32), target.astype(np.int64)


def pretrained(classes: int, seed: int = 1) -> Pretrained:
    """Zero-shot weights that stand where the projection puts the classes' directions, roughly."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(SPACE, WIDTH)) / np.sqrt(WIDTH)
    points = weight[:, :classes].T + rng.normal(0, 0.05, (classes, SPACE))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return Pretrained(
        points.astype(np.float32), 20.0, weight.astype(np.float32), np.zeros(SPACE, np.float32)
    )


def labelled(rows: int, classes: int, seed: int = 0, shuffle: bool = False) -> Labelled:
    """Toy rows with folds; `shuffle` tears labels and features apart."""
    features, target = toy(rows, classes, seed)
    if shuffle:
        target = np.random.default_rng(seed + 99).permutation(target)
    return Labelled(features, target, assign_folds(target, 3, seed), classes)


def study_data(rows: int = 60, classes: int = 3) -> StudyData:
    """A study's development images, with ranks as ingest makes them."""
    features, target = toy(rows, classes)
    splits = pd.DataFrame(
        {
            "image": [f"{i}.jpg" for i in range(rows)],
            "label": [f"class {c}" for c in target],
            "split": "development",
        }
    )
    for seed in range(5):
        shuffled = splits.sample(frac=1.0, random_state=seed)
        splits[f"rank_seed_{seed}"] = shuffled.groupby("label").cumcount()
    return StudyData(features, target, splits, pretrained(classes))


def unlabelled(rows: int, classes: int, seed: int = 50) -> np.ndarray:
    """Toy rows without labels."""
    return toy(rows, classes, seed)[0]


def changed(config: FinetuneConfig, **changes: object) -> FinetuneConfig:
    """The configuration with other fields, validated."""
    return FinetuneConfig(**(config.model_dump() | changes))
