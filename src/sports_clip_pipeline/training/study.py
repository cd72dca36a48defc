"""The arms of a study: method × fraction × seed, in parallel, continued after a kill."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.config.methods import METHODS, MethodSpec
from sports_clip_pipeline.data.splits import labels_for_fraction
from sports_clip_pipeline.journal import Journal, fingerprint
from sports_clip_pipeline.machine import (
    cores,
    end_with_parent,
    give_back_freed_memory,
    sharing_workers,
)
from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.training.arm import Arm, FittedArm, arm_from_state, arm_to_state
from sports_clip_pipeline.training.methods import find_method
from sports_clip_pipeline.training.methods.cross_validation import assign_folds
from sports_clip_pipeline.training.methods.interface import Labelled, TextAnchors
from sports_clip_pipeline.training.turns import fit_in_turns

_WORKER: dict[str, Any] = {}
_HERE = "sports_clip_pipeline.training"
# Which arms there are, and how they are run and judged: no fit depends on these.
PLAN_FIELDS = frozenset(
    ("plan", "dry_run", "methods", "fractions", "seeds", "many_labels", "seeds_at_many_labels",
     "workers", "bootstrap_resamples")
)  # fmt: skip


@dataclass(frozen=True)
class StudyData:
    """The development photographs, and what pretraining knows. No evaluation photograph is here.

    Attributes:
        features: (N, D) float32 pooled features of the development photographs, all towers side
            by side.
        target: (N,) int64 classes.
        splits: the N rows of the splits table, with `rank_seed_*`, in the same order.
        anchors: of the classes, in the order of `target`.
    """

    features: np.ndarray
    target: np.ndarray
    splits: pd.DataFrame
    anchors: TextAnchors

    def labelled_rows(self, arm: Arm) -> np.ndarray:
        """(n,) rows whose labels the arm may see."""
        return labels_for_fraction(self.splits, arm.fraction, arm.seed)

    def hidden_rows(self, arm: Arm) -> np.ndarray:
        """(U,) rows whose labels it may not see."""
        return np.setdiff1d(np.arange(len(self.target)), self.labelled_rows(arm))

    def labelled(self, arm: Arm, folds: int) -> Labelled:
        """The photographs whose labels the arm may see, with their folds (the same for all)."""
        rows = self.labelled_rows(arm)
        target = self.target[rows]
        fold = assign_folds(target, folds, arm.seed)
        everything = np.array_equal(rows, np.arange(len(self.target)))
        features = self.features if everything else self.features[rows]  # hundreds of MB
        return Labelled(features, target, fold, len(self.anchors.anchors))


def plan_arms(config: FinetuneConfig) -> list[Arm]:
    """All arms, subset by subset, large fractions first, so that no core idles at the end."""
    return [
        Arm(method, fraction, seed)
        for fraction in sorted(config.fractions, reverse=True)
        for seed in config.seeds_for(fraction)
        for method in config.methods
    ]


def run_study(data: StudyData, config: FinetuneConfig, journal: Journal) -> Iterator[FittedArm]:
    """Fit every arm, or read it where an earlier run left it under the same fingerprint.

    Raises: UserFacingError: a fraction leaves a class without an image; before any arm is fitted.
    """
    arms = plan_arms(config)
    for arm in arms:
        labels_for_fraction(data.splits, arm.fraction, arm.seed)
    marks = _fingerprints(arms, data, config)
    with journal.counting("finetune", len(arms), "arm") as bar:
        waiting = []
        for arm in arms:
            kept = journal.load_state(arm.key, marks[arm])
            if kept is None:
                waiting.append(arm)
                continue
            bar.update(1)
            yield arm_from_state(arm, *kept, marks[arm])
        for fitted in _fit_all(waiting, data, config):
            journal.save_state(fitted.arm.key, marks[fitted.arm], *arm_to_state(fitted))
            bar.update(1)
            bar.set_postfix_str(f"{fitted.arm.method} {fitted.arm.fraction:g}")
            yield replace(fitted, mark=marks[fitted.arm])


def read_arm(fitted: FittedArm, journal: Journal) -> FittedArm:
    """An arm of `run_study` again, with its arrays. Raises: KeyError: it is not in the journal."""
    kept = journal.load_state(fitted.arm.key, fitted.mark)
    if kept is None:
        raise KeyError(fitted.arm.name)
    return arm_from_state(fitted.arm, *kept, fitted.mark)


def kept_arms(
    arms: Sequence[Arm], data: StudyData, config: FinetuneConfig, journal: Journal
) -> Iterator[FittedArm]:
    """Those of the arms that were fitted before under the same fingerprint."""
    marks = _fingerprints(arms, data, config)
    for arm in arms:
        kept = journal.load_state(arm.key, marks[arm])
        if kept is not None:
            yield arm_from_state(arm, *kept, marks[arm])


def _fit_all(arms: Sequence[Arm], data: StudyData, config: FinetuneConfig) -> Iterator[FittedArm]:
    workers = min(config.workers or cores(), len(arms))
    if workers <= 1:
        _set_up(data, config, cores(), None)
        try:
            yield from map(_fit_arm, arms)
        finally:
            _WORKER.clear()
        return
    # This process judges what the workers fit; its own threads would take their cores.
    with _executors(workers, data, config) as executors, threadpool_limits(1):
        yield from fit_in_turns(arms, _fit_arm, executors)


@contextmanager
def _executors(
    workers: int, data: StudyData, config: FinetuneConfig
) -> Iterator[list[ProcessPoolExecutor]]:
    """Worker processes that read the features from one mapped file instead of a copy each."""
    with TemporaryDirectory(prefix="study-") as folder:
        path = Path(folder) / "features.npy"
        np.save(path, data.features, allow_pickle=False)
        others = replace(data, features=data.features[:0])
        setup = (others, config, max(1, cores() // workers), path)
        methods = [f"{_HERE}.methods.{METHODS[name].module}" for name in config.methods]
        context = sharing_workers(["torch", __name__, *methods])
        executors = [ProcessPoolExecutor(1, context, _set_up, setup) for _ in range(workers)]
        try:
            yield executors
        finally:
            for executor in executors:
                executor.shutdown(wait=False, cancel_futures=True)


def _set_up(data: StudyData, config: FinetuneConfig, threads: int, path: Path | None) -> None:
    import torch

    end_with_parent()
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    if path is not None:
        data = replace(data, features=np.load(path, mmap_mode="r", allow_pickle=False))
    _WORKER["data"], _WORKER["config"] = data, config


def _fit_arm(arm: Arm) -> FittedArm:
    data: StudyData = _WORKER["data"]
    config: FinetuneConfig = _WORKER["config"]
    start = time.perf_counter()
    labelled = _labelled(arm)
    labelled.memory.begin()
    spec = METHODS[arm.method]
    anchors = replace(data.anchors, space=spec.space)
    unlabelled = data.features[data.hidden_rows(arm)] if spec.unlabelled else None
    fit = find_method(arm.method)(labelled, anchors, config, arm.seed, unlabelled)
    give_back_freed_memory()  # the largest arm would else set what every worker holds to the end
    elapsed_s = time.perf_counter() - start + labelled.memory.borrowed_s
    return FittedArm(arm, fit, len(labelled.target), elapsed_s, reused=False)


def _labelled(arm: Arm) -> Labelled:
    """The labelled rows; the same as of the arm before, with their memory, where it saw the same.

    So a worker holds what was made of one subset, never of two.
    """
    if _WORKER.get("subset") != arm.subset:
        _WORKER.pop("labelled", None)
        _WORKER["labelled"] = _WORKER["data"].labelled(arm, _WORKER["config"].folds)
        _WORKER["subset"] = arm.subset
    labelled: Labelled = _WORKER["labelled"]
    return labelled


def _fingerprints(arms: Sequence[Arm], data: StudyData, config: FinetuneConfig) -> dict[Arm, str]:
    """What an arm depends on: its data, its settings and the code of its method.

    The plan itself (which arms there are, how many workers) is left out, so that a narrowed or a
    widened study reuses what was fitted.
    """
    from sports_clip_pipeline.training.methods import cross_validation, interface

    ranks = data.splits.filter(like="rank_seed_").to_numpy()
    anchors = data.anchors
    zero_shot = anchors.zero_shot_head()
    shared = fingerprint(
        data.features, data.target, ranks, anchors.anchors, anchors.image_weight,
        anchors.image_bias, anchors.logit_scale, anchors.widths, zero_shot.describe(),
        *zero_shot.to_arrays().values(), *Head(anchors.image_body).to_arrays().values(),
        cross_validation, interface,
    )  # fmt: skip
    settings = {key: value for key, value in asdict(config).items() if key not in PLAN_FIELDS}
    code = {name: fingerprint(*_code(METHODS[name])) for name in {arm.method for arm in arms}}
    return {
        arm: fingerprint(shared, code[arm.method], _own(arm.method, settings), asdict(arm))
        for arm in arms
    }


def _own(method: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a method reads: the common ones and those under its own prefixes."""
    own = METHODS[method].settings
    claimed = tuple(prefix for spec in METHODS.values() for prefix in spec.settings)
    return {
        key: value
        for key, value in settings.items()
        if key.startswith(own) or not key.startswith(claimed)
    }


def _code(spec: MethodSpec) -> list[ModuleType]:
    """The method's module and those beside it that it draws on, however far, by name."""
    found: dict[str, ModuleType] = {}
    waiting = [f"{_HERE}.methods.{spec.module}"]
    while waiting:
        name = waiting.pop()
        if name in found or not name.startswith(f"{_HERE}."):
            continue
        found[name] = import_module(name)
        for value in vars(found[name]).values():
            is_module = isinstance(value, ModuleType)
            waiting.append(value.__name__ if is_module else str(getattr(value, "__module__", "")))
    return [found[name] for name in sorted(found)]
