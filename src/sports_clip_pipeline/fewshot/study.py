"""The arms of a study: method × fraction × seed, in parallel, continued after a kill."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.corpora.splits import labels_for_fraction
from sports_clip_pipeline.fewshot.base import (
    METHODS,
    Labelled,
    MethodSpec,
    TextAnchors,
    find_method,
)
from sports_clip_pipeline.fewshot.cross_validation import assign_folds
from sports_clip_pipeline.fewshot.trial import Arm, FittedArm, arm_from_state, arm_to_state
from sports_clip_pipeline.journal import Journal, fingerprint
from sports_clip_pipeline.machine import (
    cores,
    end_with_parent,
    give_back_freed_memory,
    sharing_workers,
)
from sports_clip_pipeline.models.head import Head

Result = TypeVar("Result")
# Arms that a worker has before it, the one it fits among them: it never waits for the next.
_AHEAD = 2
_WORKER: dict[str, Any] = {}
_HERE = "sports_clip_pipeline.fewshot"
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
        methods = [f"{_HERE}.{METHODS[name].module}" for name in config.methods]
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
    from sports_clip_pipeline.fewshot import base, cross_validation

    ranks = data.splits.filter(like="rank_seed_").to_numpy()
    anchors = data.anchors
    zero_shot = anchors.zero_shot_head()
    shared = fingerprint(
        data.features, data.target, ranks, anchors.anchors, anchors.image_weight,
        anchors.image_bias, anchors.logit_scale, anchors.widths, zero_shot.describe(),
        *zero_shot.to_arrays().values(), *Head(anchors.image_body).to_arrays().values(),
        cross_validation, base,
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
    waiting = [f"{_HERE}.{spec.module}"]
    while waiting:
        name = waiting.pop()
        if name in found or not name.startswith(f"{_HERE}."):
            continue
        found[name] = import_module(name)
        for value in vars(found[name]).values():
            is_module = isinstance(value, ModuleType)
            waiting.append(value.__name__ if is_module else str(getattr(value, "__module__", "")))
    return [found[name] for name in sorted(found)]


class Turns:
    """Arms by worker: one subset after the other, since methods share what they make of its rows.

    A worker stays with its subset, then takes the next one that is no other worker's; only when
    there is none left does it help another with the last of its arms.
    """

    def __init__(self, arms: Iterable[Arm]) -> None:
        self._waiting = list(arms)
        self._subset: dict[int, tuple[float, int]] = {}

    def next_for(self, worker: int) -> Arm | None:
        """The worker's next arm, or None if none is left."""
        if not self._waiting:
            return None
        own = self._subset.get(worker)
        taken = {subset for other, subset in self._subset.items() if other != worker}
        same = [arm for arm in self._waiting if arm.subset == own]
        free = [arm for arm in self._waiting if arm.subset not in taken]
        arm = (same or free or self._waiting[-1:])[0]
        self._waiting.remove(arm)
        self._subset[worker] = arm.subset
        return arm


def fit_in_turns(
    arms: Sequence[Arm], fit: Callable[[Arm], Result], workers: Sequence[Executor]
) -> Iterator[Result]:
    """What `fit` gives for each arm, as it comes.

    Args:
        workers: executors of one process each.
    Raises: what `fit` raises; BrokenProcessPool: a process has died.
    """
    turns = Turns(arms)
    running: dict[Future[Result], int] = {}

    def start(worker: int) -> None:
        arm = turns.next_for(worker)
        if arm is not None:
            running[workers[worker].submit(fit, arm)] = worker

    for _ in range(_AHEAD):
        for worker in range(len(workers)):
            start(worker)
    while running:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            start(running.pop(future))
            yield future.result()


def estimate_plan(data: StudyData, config: FinetuneConfig, journal: Journal) -> pd.DataFrame:
    """Arms, hours and disk of each method, from a trial at the smallest fraction.

    Time is taken to grow with the number of labels, which is about right from a few hundred on.

    Returns: one row a method: `method`, `arms`, `finished` (kept from earlier runs), `hours` (of
        the rest, on all workers together) and `disk_bytes` (of all).
    """
    plan = plan_arms(config)
    kept = {fitted.arm for fitted in kept_arms(plan, data, config, journal)}
    workers = config.workers or cores()
    smallest = min(config.fractions)
    trial = replace(config, fractions=(smallest,), seeds=1, workers=1, many_labels=1.0)
    rows = []
    for method in config.methods:
        fitted = next(iter(run_study(data, replace(trial, methods=(method,)), Journal())))
        arms = [arm for arm in plan if arm.method == method]
        waiting = [arm for arm in arms if arm not in kept]
        growth = sum(arm.fraction / smallest for arm in waiting)
        arrays = fitted.fit.head.to_arrays().values()
        rows.append(
            {
                "method": method,
                "arms": len(arms),
                "finished": len(arms) - len(waiting),
                "hours": fitted.elapsed_s * growth / workers / 3600.0,
                "disk_bytes": len(arms) * sum(array.nbytes for array in arrays),
            }
        )
    return pd.DataFrame(rows)


def plan_in_words(plan: pd.DataFrame) -> str:
    """The plan as lines: one a method, and the sum.

    Args:
        plan: `method`, `hours`, `disk_bytes`, and `arms` with `finished`, or one row an arm.
    """
    table = plan.assign(arms=plan.get("arms", 1), finished=plan.get("finished", 0))
    columns = ["arms", "finished", "hours", "disk_bytes"]
    by_method = table.groupby("method", sort=False)[columns].sum()
    lines = [_line(str(method), *row.to_numpy()) for method, row in by_method.iterrows()]
    return "\n".join([*lines, _line("all", *by_method.sum().to_numpy())])


def _line(name: str, arms: float, finished: float, hours: float, disk_bytes: float) -> str:
    return (
        f"{name:<24} {arms:5.0f} arms, {finished:5.0f} finished, about {60 * hours:7.1f} min for "
        f"the rest, {disk_bytes / 1e6:8.1f} MB"
    )
