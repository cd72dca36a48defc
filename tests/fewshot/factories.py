"""Toy data for the methods and the study: classes around separate directions."""

import numpy as np
import pandas as pd

from sports_clip_pipeline.clip.projections import Pretrained
from sports_clip_pipeline.fewshot.base import METHODS, Labelled, Task
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


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def pretrained(classes: int, seed: int = 1, space: str = "first_encoder") -> Pretrained:
    """Zero-shot weights that stand where the projection puts the classes' directions, roughly."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(SPACE, WIDTH)) / np.sqrt(WIDTH)
    points = unit(weight[:, :classes].T + rng.normal(0, 0.05, (classes, SPACE)))
    bias = np.zeros(SPACE, np.float32)
    return Pretrained(points, 20.0, weight.astype(np.float32), bias, space=space)


def labelled(rows: int, classes: int, seed: int = 0, shuffle: bool = False) -> Labelled:
    """Toy rows with folds; `shuffle` permutes the labels."""
    features, target = toy(rows, classes, seed)
    if shuffle:
        target = np.random.default_rng(seed + 99).permutation(target)
    return Labelled(
        features, target, assign_folds(target, np.arange(len(target)), 3, seed), classes
    )


def task(rows: Labelled, method: str = "logreg", seed: int = 0) -> Task:
    """The rows in a method's feature space, with unlabelled ones where the method takes some."""
    spec, classes = METHODS[method], rows.classes
    others = toy(60, classes, seed=50)[0] if spec.unlabelled else None
    return Task(rows, pretrained(classes, space=spec.space), seed, others)


def study_data(rows: int = 60, classes: int = 3) -> StudyData:
    """A study's development images, with ranks as ingest makes them."""
    features, target = toy(rows, classes)
    return StudyData(features, target, splits_of(target), pretrained(classes))


def splits_of(target: np.ndarray) -> pd.DataFrame:
    """A splits table of development images, with the ranks of nested label subsets."""
    table = pd.DataFrame(
        {
            "image": [f"{i}.jpg" for i in range(len(target))],
            "label": [f"class {c}" for c in target],
            "split": "development",
            "group": np.arange(len(target)),
        }
    )
    for seed in range(5):
        shuffled = table.sample(frac=1.0, random_state=seed)
        table[f"rank_seed_{seed}"] = shuffled.groupby("label").cumcount()
    return table


def changed(config: FinetuneConfig, **changes: object) -> FinetuneConfig:
    """The configuration with other fields, validated."""
    return FinetuneConfig(**(config.model_dump() | changes))
