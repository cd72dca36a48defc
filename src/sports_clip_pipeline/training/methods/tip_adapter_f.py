"""Tip-Adapter-F: the cache's keys, trained from where they stand.

β and the weights of the blend are those that the untrained cache chose; the keys follow the
cross-entropy of the blend for a number of steps that k-fold chooses, after which the weights are
set anew.

Source: Zhang et al. 2022, "Tip-Adapter", section 3.2 (AdamW on the keys, cosine schedule). There
the epoch was picked on test photographs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.training.methods import tip_adapter
from sports_clip_pipeline.training.methods.blending import choose_blend
from sports_clip_pipeline.training.methods.cross_validation import hold_out
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors
from sports_clip_pipeline.training.methods.row_space import RowSpace
from sports_clip_pipeline.training.methods.tip_adapter import Cache, build_cache

# Held-out rows that suffice to choose among a handful of candidates; training keys is costly.
_ENOUGH = 1500


@dataclass(frozen=True)
class Course:
    """How the keys are trained.

    Attributes:
        sharpness: β. cache_weight: of the cache's logits. text_weight: of the zero-shot logits.
        steps: after which the keys are candidates; the last ends the cosine schedule.
        lr: AdamW's peak rate. batch_size: rows a step. seed: of the batches.
    """

    sharpness: float
    cache_weight: float
    text_weight: float
    steps: tuple[int, ...]
    lr: float
    batch_size: int
    seed: int


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """The trained cache; k-fold sets β, the steps, and the weights of cache and zero-shot."""
    zero_shot = anchors.zero_shot_head()
    chosen = tip_adapter.fit(labelled, anchors, config, seed).hyperparameters
    text = zero_shot(labelled.features)
    space = RowSpace.of(labelled, anchors.scaled(root=True)).beside_outputs(zero_shot, text)
    course = Course(
        chosen["sharpness"], chosen["probe_weight"], chosen["zero_shot_weight"],
        config.tip_f_steps, config.tip_f_lr, config.tip_f_batch_size, seed,
    )  # fmt: skip

    def train_all(part: Labelled) -> dict[str, Head]:
        columns, text = np.split(part.features, [space.width], axis=1)
        own = replace(part, features=columns)
        cache = build_cache(own, config.tip_keys_per_class, seed)
        return {
            str(steps): trained.head(course.sharpness)
            for steps, trained in train(cache, own, text, course).items()
        }

    def on_joint(part: Labelled) -> dict[str, Head]:
        bounds = {"start": np.asarray(0), "stop": np.asarray(space.width)}
        first = Operation("columns", bounds)
        return {name: Head((first, *head.operations)) for name, head in train_all(part).items()}

    return choose_blend(
        labelled,
        hold_out(space.rows, on_joint, _ENOUGH),
        lambda name: {"sharpness": course.sharpness, "steps": int(name)},
        lambda name: space.expand(train_all(space.rows)[name]),
        zero_shot,
    )


def train(cache: Cache, rows: Labelled, text: np.ndarray, course: Course) -> dict[int, Cache]:
    """The cache after each of the course's numbers of steps.

    Args:
        rows: features (n, r) unit-norm. text: (n, C) zero-shot logits of the rows.
    """
    features, target = torch.from_numpy(rows.features), torch.from_numpy(rows.target)
    offset = torch.from_numpy(text * np.float32(course.text_weight))
    votes = functional.one_hot(torch.from_numpy(cache.owner), cache.classes).float()
    keys = torch.from_numpy(cache.keys.copy()).requires_grad_()
    optimizer = torch.optim.AdamW([keys], lr=course.lr, eps=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(course.steps))
    rng = np.random.default_rng(course.seed)
    size = min(course.batch_size, len(target))
    trained = {}
    with _without_denormals():
        for step in range(1, max(course.steps) + 1):
            batch = torch.from_numpy(rng.permutation(len(target))[:size])
            affinity = torch.exp(-course.sharpness * (1.0 - features[batch] @ keys.T))  # (B, K)
            logits = course.cache_weight * (affinity @ votes) + offset[batch]
            loss = functional.cross_entropy(logits, target[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            if step in course.steps:
                trained[step] = replace(cache, keys=keys.detach().numpy().copy())
    return trained


@contextmanager
def _without_denormals() -> Iterator[None]:
    """Confident rows leave gradients near 1e-40, on which this arithmetic is ten times slower."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
