"""The label-efficiency study: method × label fraction × seed, in worker processes, resumable."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from sports_clip_pipeline.clip.projections import Pretrained
from sports_clip_pipeline.data.splits import labels_for_fraction
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.fewshot import cross_validation
from sports_clip_pipeline.fewshot.base import METHODS, Labelled, Task
from sports_clip_pipeline.fewshot.trial import FittedTrial, TrialKey, load_trial, save_trial
from sports_clip_pipeline.io.fingerprint import fingerprint
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.machine import cores, exit_with_parent, trim_memory, worker_context
from sports_clip_pipeline.pipelines.finetune.config import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head

Result = TypeVar("Result")
# Trials queued for a worker, the running one included: it never waits for the next.
_QUEUED = 2
_WORKER: dict[str, Any] = {}


@dataclass(frozen=True)
class StudyData:
    """The development images and the pretrained model; no test image is here.

    Attributes:
        features: (N, D) float32 pooled features, all encoders concatenated.
        target: (N,) int64 classes. splits: their rows of the splits table, with `rank_seed_*`.
    """

    features: np.ndarray
    target: np.ndarray
    splits: pd.DataFrame
    pretrained: Pretrained

    def labelled_rows(self, key: TrialKey) -> np.ndarray:
        """(n,) rows whose labels the trial may use."""
        return labels_for_fraction(self.splits, key.label_fraction, key.seed)

    def labelled(self, key: TrialKey, folds: int) -> Labelled:
        """The trial's labelled images, with their cross-validation folds."""
        rows = self.labelled_rows(key)
        target = self.target[rows]
        groups = self.splits["group"].to_numpy()[rows]
        fold = cross_validation.assign_folds(target, groups, folds, key.seed)
        if (fold < 0).all():
            what = (
                "labels only near-duplicates of one another in each class: no fold can be held out"
            )
            raise UserFacingError(
                f"label fraction {key.label_fraction:g}", what, "use a larger one"
            )
        everything = np.array_equal(rows, np.arange(len(self.target)))
        features = self.features if everything else self.features[rows]  # hundreds of MB
        return Labelled(features, target, fold, len(self.pretrained.zero_shot_weights))

    def unlabelled(self, key: TrialKey) -> np.ndarray:
        """(U, D) features of the images whose labels the trial may not use."""
        return np.delete(self.features, self.labelled_rows(key), axis=0)


def plan_trials(config: FinetuneConfig) -> list[TrialKey]:
    """All trials, subset by subset, large fractions first, so that no core idles at the end."""
    return [
        TrialKey(method, fraction, seed)
        for fraction in sorted(config.fractions, reverse=True)
        for seed in config.seeds_for(fraction)
        for method in config.selected
    ]


def run_study(data: StudyData, config: FinetuneConfig, state: RunState) -> Iterator[FittedTrial]:
    """Fit every trial; those that an earlier run finished under the same fingerprint are reused.

    Raises: UserFacingError: a fraction leaves a class without an image; before any trial is fitted.
    """
    keys = plan_trials(config)
    for key in keys:
        data.labelled_rows(key)
    fingerprints = _fingerprints(keys, data, config)
    with state.progress_bar("finetune", len(keys), "trial") as bar:
        waiting = []
        for key in keys:
            finished = load_trial(key, fingerprints[key], state)
            if finished is None:
                waiting.append(key)
                continue
            bar.update(1)
            yield finished
        for fitted in _fit_all(waiting, data, config):
            key = fitted.key
            named = replace(fitted, fingerprint=fingerprints[key])
            save_trial(named, state)
            trim_memory()  # what the workers sent
            bar.update(1)
            bar.set_postfix_str(f"{key.method} {key.label_fraction:g}")
            yield named


def finished_trials(
    keys: Sequence[TrialKey], data: StudyData, config: FinetuneConfig, state: RunState
) -> Iterator[FittedTrial]:
    """Those of the trials that were fitted before under the same fingerprint."""
    for key, content in _fingerprints(keys, data, config).items():
        finished = load_trial(key, content, state)
        if finished is not None:
            yield finished


def _fit_all(
    keys: Sequence[TrialKey], data: StudyData, config: FinetuneConfig
) -> Iterator[FittedTrial]:
    """Fit in this process, or in workers that read the features from one mapped file."""
    workers = min(config.workers or cores(), len(keys))
    if workers <= 1:
        _set_up(data, config, cores(), None)
        try:
            yield from map(_fit_trial, keys)
        finally:
            _WORKER.clear()
        return
    modules = {METHODS[name].module for name in config.selected}
    context = worker_context(["torch", __name__, *sorted(modules)])
    # This process evaluates what the workers fit; its own threads would take their cores.
    with TemporaryDirectory(prefix="study-") as folder, threadpool_limits(1):
        path = Path(folder) / "features.npy"
        np.save(path, data.features, allow_pickle=False)
        others = replace(data, features=data.features[:0])
        setup = (others, config, max(1, cores() // workers), path)
        executors = [ProcessPoolExecutor(1, context, _set_up, setup) for _ in range(workers)]
        try:
            yield from schedule_trials(keys, _fit_trial, executors)
        finally:
            for executor in executors:
                executor.shutdown(wait=False, cancel_futures=True)


def _set_up(data: StudyData, config: FinetuneConfig, threads: int, path: Path | None) -> None:
    import torch

    exit_with_parent()
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    if path is not None:
        data = replace(data, features=np.load(path, mmap_mode="r", allow_pickle=False))
    _WORKER["data"], _WORKER["config"] = data, config


def _fit_trial(key: TrialKey) -> FittedTrial:
    data: StudyData = _WORKER["data"]
    config: FinetuneConfig = _WORKER["config"]
    start = time.perf_counter()
    if _WORKER.get("subset") != key.subset:
        # A worker holds the intermediate results of one subset, never of two.
        _WORKER.pop("labelled", None)
        _WORKER["labelled"], _WORKER["subset"] = data.labelled(key, config.folds), key.subset
    labelled: Labelled = _WORKER["labelled"]
    labelled.cache.begin_trial()
    spec = METHODS[key.method]
    unlabelled = data.unlabelled(key) if spec.unlabelled else None
    pretrained = replace(data.pretrained, space=spec.space)
    fit = config.method(key.method).fit(Task(labelled, pretrained, key.seed, unlabelled))
    trim_memory()  # the largest trial would else set what every worker holds to the end
    elapsed_s = time.perf_counter() - start + labelled.cache.reused_s
    return FittedTrial(key, fit, len(labelled.target), elapsed_s, reused=False)


def _fingerprints(
    keys: Sequence[TrialKey], data: StudyData, config: FinetuneConfig
) -> dict[TrialKey, str]:
    """Of each trial's data, settings and code; not of the plan, so that a wider one reuses it."""
    pretrained = data.pretrained
    zero_shot = pretrained.zero_shot_head()
    shared = fingerprint(
        data.features, data.target, data.splits["group"].to_numpy(), config.folds,
        pretrained.zero_shot_weights, pretrained.image_weight, pretrained.image_bias,
        pretrained.logit_scale, pretrained.widths, zero_shot.describe(),
        *zero_shot.to_arrays().values(), *Head(pretrained.image_body).to_arrays().values(),
        sys.modules[__name__],
    )  # fmt: skip
    own = {
        name: fingerprint(import_module(METHODS[name].module), config.method(name))
        for name in {key.method for key in keys}
    }
    return {key: fingerprint(shared, own[key.method], key, data.labelled_rows(key)) for key in keys}


def schedule_trials(
    keys: Sequence[TrialKey], fit: Callable[[TrialKey], Result], workers: Sequence[Executor]
) -> Iterator[Result]:
    """The results of `fit` as they come, on executors of one process each.

    The trials of a subset share a cache: a worker stays with its subset, then takes one that is no
    other worker's, then any other.

    Raises: what `fit` raises; BrokenProcessPool: a process has died.
    """
    waiting = list(keys)
    subsets: dict[int, tuple[float, int]] = {}
    running: dict[Future[Result], int] = {}

    def start(worker: int) -> None:
        if not waiting:
            return
        taken = {subset for other, subset in subsets.items() if other != worker}
        same = [key for key in waiting if key.subset == subsets.get(worker)]
        free = [key for key in waiting if key.subset not in taken]
        key = (same or free or waiting[-1:])[0]
        waiting.remove(key)
        subsets[worker] = key.subset
        running[workers[worker].submit(fit, key)] = worker

    for _ in range(_QUEUED):
        for worker in range(len(workers)):
            start(worker)
    while running:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            start(running.pop(future))
            yield future.result()


def estimate_plan(data: StudyData, config: FinetuneConfig, state: RunState) -> pd.DataFrame:
    """Trials, hours and disk of each method (dry run), from one trial at the smallest fraction.

    Time is taken to grow with the number of labels, which is about right from a few hundred on.

    Returns: one row a method; `hours` are those of unfinished trials, on all workers together.
    """
    plan = plan_trials(config)
    finished = {fitted.key for fitted in finished_trials(plan, data, config, state)}
    workers = config.workers or cores()
    smallest = min(config.fractions)
    small = {"fractions": (smallest,), "seeds": 1, "workers": 1, "many_labels": 1.0}
    rows = []
    for method in config.selected:
        one = config.model_copy(update={**small, "select": (method,)})
        fitted = next(iter(run_study(data, one, RunState())))
        keys = [key for key in plan if key.method == method]
        waiting = [key for key in keys if key not in finished]
        growth = sum(key.label_fraction / smallest for key in waiting)
        hours = fitted.elapsed_s * growth / workers / 3600.0
        size = sum(array.nbytes for array in fitted.fit.head.to_arrays().values())
        rows.append((method, len(keys), len(keys) - len(waiting), hours, len(keys) * size))
    return pd.DataFrame(rows, columns=["method", "trials", "finished", "hours", "disk_bytes"])


def describe_plan(plan: pd.DataFrame) -> str:
    """An estimate, with a row for each method or each trial, as a line for each and the sum."""
    table = plan.assign(trials=plan.get("trials", 1), finished=plan.get("finished", 0))
    columns = ["trials", "finished", "hours", "disk_bytes"]
    table = table.groupby("method", sort=False)[columns].sum()
    table.loc["all"] = table.sum()
    names = map(str, table.index)
    return "\n".join(
        f"{name:<24} {trials:5.0f} trials, {finished:5.0f} finished, about {60 * hours:7.1f} min "
        f"for the rest, {disk_bytes / 1e6:8.1f} MB"
        for name, (trials, finished, hours, disk_bytes) in zip(names, table.to_numpy(), strict=True)
    )
