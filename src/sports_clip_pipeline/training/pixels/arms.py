"""The arms of the pixel plan, one after another; a killed plan goes on from its last kept step."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from sports_clip_pipeline.corpora.splits import labels_for_fraction
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.journal.journal import Counter
from sports_clip_pipeline.machine import cores, keep_freed_memory
from sports_clip_pipeline.models.head import softmax
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.arm import Arm, FittedArm
from sports_clip_pipeline.training.methods.cross_validation import fit_temperature, log_loss
from sports_clip_pipeline.training.methods.interface import Fit
from sports_clip_pipeline.training.pixels.classifier import PixelClassifier, pooled_squares
from sports_clip_pipeline.training.pixels.fitted import PixelArm, from_state, to_state
from sports_clip_pipeline.training.pixels.holdout import held_out_rows, steps_for
from sports_clip_pipeline.training.pixels.loop import (
    Photographs,
    PixelTraining,
    load_entries,
    run_training,
)
from sports_clip_pipeline.training.pixels.marks import arm_mark
from sports_clip_pipeline.training.pixels.methods import find_pixel_method
from sports_clip_pipeline.training.pixels.methods.interface import Start
from sports_clip_pipeline.training.pixels.squares import Squares

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PixelStudy:
    """The development photographs, and what pretraining knows. No evaluation photograph is here.

    Attributes:
        squares: the N development photographs, decoded when an arm is trained.
        target: (N,) int64 classes.
        splits: their rows of the splits table, in the same order.
        start: the tower, the text anchors and the prompts.
    """

    squares: Squares
    target: np.ndarray
    splits: pd.DataFrame
    start: Start

    def rows(self, arm: Arm) -> np.ndarray:
        """(n,) int64; the photographs whose labels the arm may see."""
        return labels_for_fraction(self.splits, arm.fraction, arm.seed)

    def mark(self, arm: Arm, config: EndToEndConfig) -> str:
        """The arm's fingerprint."""
        rows = self.rows(arm)
        addresses = [self.squares.addresses[row] for row in rows]
        seen = self.squares.preprocessing.to_dict()
        target = self.target[rows]
        return arm_mark(arm.method, arm.seed, addresses, target, self.start, seen, config)


@dataclass(frozen=True)
class Choice:
    """What held-out labelled photographs decided, and what was said of them: (n, C) logits."""

    candidate: str
    temperature: float
    top1: float
    log_loss: float
    logits: np.ndarray


def plan_pixel_arms(config: EndToEndConfig) -> list[Arm]:
    """All arms of the plan, small fractions first: what is quick is seen early."""
    return [
        Arm(method, fraction, seed)
        for fraction in sorted(config.fractions)
        for method in config.methods
        for seed in config.seeds_for(fraction)
    ]


def finished_pixel_arms(
    study: PixelStudy, config: EndToEndConfig, journal: Journal
) -> Iterator[PixelArm]:
    """The arms of the plan that an earlier run finished under the same fingerprint."""
    for arm in plan_pixel_arms(config):
        try:
            mark = study.mark(arm, config)
        except UserFacingError:  # too small a fraction for these classes: nobody has trained it
            continue
        kept = read_pixel_arm(arm, mark, journal)
        if kept is not None:
            yield kept


def run_pixel_arms(
    study: PixelStudy, config: EndToEndConfig, journal: Journal
) -> Iterator[PixelArm]:
    """Train every arm, or read it where an earlier run finished it; continue the unfinished one.

    Raises: UserFacingError: a fraction leaves a class without an image, or a method does not fit
        the tower; before any arm is trained.
    """
    arms = plan_pixel_arms(config)
    marks = {arm: study.mark(arm, config) for arm in arms}
    waiting = [arm for arm in arms if journal.load_state(arm.key, marks[arm]) is None]
    for method in dict.fromkeys(arm.method for arm in waiting):
        find_pixel_method(method).build(study.start, config, 0)
    torch.set_num_threads(config.threads or cores())
    keep_freed_memory()
    images = sum(_steps(arm, study, config) for arm in waiting) * config.batch_size
    with journal.counting("pixels", images, "image") as bar:
        for arm in arms:
            kept = read_pixel_arm(arm, marks[arm], journal) if arm not in waiting else None
            yield kept or _train_arm(arm, marks[arm], study, config, journal, bar)


def _train_arm(
    arm: Arm, mark: str, study: PixelStudy, config: EndToEndConfig, journal: Journal, bar: Counter
) -> PixelArm:
    """Train on the labelled photographs but the held-out ones, choose, and refit where few."""
    rows = study.rows(arm)
    out = held_out_rows(study.target[rows], config.held_out_share, arm.seed)
    first = _train(arm, "held_out", mark, rows[~out], len(rows), study, config, journal, bar)
    choice = _choose(arm, first, study, rows[out], config)
    elapsed_s = first.elapsed_s
    chosen = first
    if len(rows) < config.refit_below:
        chosen = _train(arm, "refit", mark, rows, len(rows), study, config, journal, bar)
        elapsed_s += chosen.elapsed_s
    method = find_pixel_method(arm.method)
    model = _candidates(arm, chosen, study, config)[choice.candidate]
    method.finish(model.tower)
    trials = method.describe(choice.candidate)
    spoken = np.full((len(rows), study.start.classes), np.nan, dtype=np.float32)
    spoken[out] = softmax(choice.logits / choice.temperature)
    fit = Fit(
        head=model.head.exported(),
        temperature=choice.temperature,
        hyperparameters={**trials, "steps": chosen.steps, "refit": chosen is not first},
        cv_top1=choice.top1,
        cv_log_loss=choice.log_loss,
        held_out=spoken,
    )
    fitted = FittedArm(arm, fit, len(rows), elapsed_s, reused=False)
    done = PixelArm(fitted, _arrays(model.tower), mark)
    journal.save_state(arm.key, mark, *to_state(done))
    for stage in ("held_out", "refit"):
        journal.drop_state(f"{arm.key}.{stage}")
    return done


def _train(
    arm: Arm,
    stage: str,
    mark: str,
    rows: np.ndarray,
    labels: int,
    study: PixelStudy,
    config: EndToEndConfig,
    journal: Journal,
    bar: Counter,
) -> PixelTraining:
    """One run of the loop over these photographs, continued where one was left."""
    method = find_pixel_method(arm.method)
    model = method.build(study.start, config, arm.seed)
    squares = study.squares
    photographs = Photographs(squares.open(), rows, study.target[rows], squares.preprocessing)
    training = PixelTraining(model, method, photographs, config, arm.seed, labels)
    name = f"{arm.method} {arm.fraction:g} seed {arm.seed}"
    shown = {"done": 0}

    def on_step(training: PixelTraining, loss: float) -> None:
        bar.update((training.done - shown["done"]) * config.batch_size)
        shown["done"] = training.done
        bar.set_postfix_str(f"{name} {stage} {training.done}/{training.steps} loss {loss:.3f}")
        if training.done % 10 == 0 or training.done == training.steps:
            metric = f"pixels/{arm.method}/{arm.fraction:g}/{arm.seed}/{stage}_loss"
            journal.log_metrics({metric: loss}, step=training.done)

    run_training(training, journal, f"{arm.key}.{stage}", mark, on_step)
    bar.update((training.done - shown["done"]) * config.batch_size)
    return training


def _choose(
    arm: Arm, training: PixelTraining, study: PixelStudy, rows: np.ndarray, config: EndToEndConfig
) -> Choice:
    """The candidate with the least loss on held-out labelled photographs, and its temperature."""
    squares, target = study.squares, study.target[rows]
    seen = squares.open()[rows]
    choices = []
    for name, model in _candidates(arm, training, study, config).items():
        pooled = pooled_squares(model, seen, squares.preprocessing, config.views)
        logits = model.head.exported()(pooled)
        temperature = fit_temperature(logits, target)
        loss = log_loss(logits / temperature, target)
        top1 = float((logits.argmax(axis=1) == target).mean())
        choices.append(Choice(name, temperature, top1, loss, logits))
    for made in choices:
        what = made.candidate or "trained"
        _LOG.info("%s %s: held-out top-1 %.3f, loss %.3f", arm.key, what, made.top1, made.log_loss)
    return min(choices, key=lambda choice: choice.log_loss)


def _candidates(
    arm: Arm, training: PixelTraining, study: PixelStudy, config: EndToEndConfig
) -> dict[str, PixelClassifier]:
    """Classifiers to choose from, with averaged weights."""
    method = find_pixel_method(arm.method)
    built = method.build(study.start, config, arm.seed)
    states = method.candidates(built.state_dict(), _whole(built, training), config)
    models = {}
    for name, state in states.items():
        models[name] = deepcopy(built)
        load_entries(models[name], state)
    return models


def _whole(built: PixelClassifier, training: PixelTraining) -> dict[str, torch.Tensor]:
    """The averaged entries, and those that never moved."""
    averaged = {name: value.cpu() for name, value in training.averaged().items()}
    return {**built.state_dict(), **averaged}


def _steps(arm: Arm, study: PixelStudy, config: EndToEndConfig) -> int:
    """Steps of an arm, of its refit too."""
    rows = study.rows(arm)
    out = held_out_rows(study.target[rows], config.held_out_share, arm.seed)
    return arm_steps(len(rows), int(out.sum()), config)


def arm_steps(labels: int, held_out: int, config: EndToEndConfig) -> int:
    """Steps of an arm with so many labelled photographs, of its refit too."""
    runs = [labels - held_out, *([labels] if labels < config.refit_below else [])]
    shape = config.batch_size, config.epochs, config.min_steps
    return sum(steps_for(count, *shape) for count in runs)


def _arrays(tower: Any) -> dict[str, np.ndarray]:
    return {
        name: value.detach().contiguous().numpy().copy()
        for name, value in tower.state_dict().items()
    }


def read_pixel_arm(arm: Arm, mark: str, journal: Journal) -> PixelArm | None:
    """The arm as an earlier run finished it under this fingerprint, or None."""
    kept = journal.load_state(arm.key, mark)
    return None if kept is None else from_state(arm, mark, *kept)
