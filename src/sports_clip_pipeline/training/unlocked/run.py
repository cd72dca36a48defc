"""Training through the towers from start to end: progress, live metrics, saved states."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.journal.journal import Counter
from sports_clip_pipeline.models.clip_model import tower_prefixes
from sports_clip_pipeline.models.projections import Projections, projections_of
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing
from sports_clip_pipeline.training.pause import hearing_signals
from sports_clip_pipeline.training.selection import METRIC, is_best, is_due, is_over, restore_best
from sports_clip_pipeline.training.unlocked.blocks import changed_state
from sports_clip_pipeline.training.unlocked.group import Group
from sports_clip_pipeline.training.unlocked.loop import ALONE, TowerTraining, Watch
from sports_clip_pipeline.training.unlocked.pairs import TowerPairs
from sports_clip_pipeline.training.unlocked.precision import Compute

STATE = "pretrain/towers"
BEST = "pretrain/towers.best"

Judge = Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, float]]


@dataclass(frozen=True)
class TrainedTowers:
    """What training through the towers gives.

    Attributes:
        projections: on the pooled features of the trained towers.
        weights: entries of the CLIP model's state dict below the projections that were trained.
        history: one row an epoch.
    """

    projections: Projections
    weights: dict[str, np.ndarray]
    history: list[dict[str, float]]


def train_towers(
    model: Any,
    train: TowerPairs,
    validation: TowerPairs,
    judge: Judge,
    preprocessing: ImagePreprocessing,
    config: PretrainConfig,
    compute: Compute,
    journal: Journal,
    state_fingerprint: str,
    steps_before: int = 0,
    group: Group = ALONE,
) -> TrainedTowers:
    """Train what `config` unlocks; a killed run goes on from its last saved step.

    Args:
        model: open_clip's `CustomTextCLIP` with the projections to start from; is trained.
        judge: metrics by name from validation embeddings (N, P) and (M, P) and the owner (M,) of
            each caption, after an epoch.
        state_fingerprint: of all that the result depends on; state under another one is not used.
        steps_before: of the pass over locked towers; the history counts on from there.
        group: the processes that train together; each of them calls this.
    Raises: KeyboardInterrupt, SystemExit: a signal came; the state is kept first.
    """
    training = TowerTraining(model, train, preprocessing, config, compute, group)
    kept = journal.load_state(STATE, state_fingerprint)
    if kept is not None:
        training.restore(*kept)

    def keep(place: str = STATE) -> None:
        if group.leads:
            state = training.state()
            journal.save_state(place, state_fingerprint, *state, keep_former=place == STATE)

    def goes_on() -> bool:
        return training.epoch < config.encoder_epochs and not is_over(
            training.history, config.patience_epochs
        )

    total = config.encoder_epochs * training.pairs_per_epoch
    with journal.counting("pretrain towers", total, "pair") as bar, hearing_signals() as pause:
        bar.update(training.pairs_done)

        def asked() -> bool:
            return group.any(bool(pause.asked), compute.device)

        while goes_on() and not asked():
            start, before = time.perf_counter(), training.pairs_done
            loss = training.run_epoch(_watch(training, bar, journal, asked, keep))
            if loss is None:
                break
            rate = (training.pairs_done - before) / (time.perf_counter() - start)
            with training.average.used():
                metrics = _judged(training, validation, judge)
                row = _row(training, steps_before, loss, rate, metrics)
            training.history.append(row)
            live = {f"pretrain/{key}": value for key, value in row.items() if key != "epoch"}
            journal.log_metrics(live, step=int(row["epoch"]))
            if config.keep == "best" and is_best(training.history):
                keep(BEST)
            keep()
        if pause.asked:
            pause.end()
        if goes_on():
            raise SystemExit(128 + signal.SIGTERM)  # another process of the group was asked
    history = training.history
    restore_best(training, config.keep, journal, BEST, state_fingerprint)
    return replace(_trained(training), history=history)


def _judged(training: TowerTraining, validation: TowerPairs, judge: Judge) -> dict[str, float]:
    """Metrics of the epoch, where it is due; what decides on the way is told to all processes."""
    config, group = training.config, training.group
    if not is_due(training.epoch, config.encoder_epochs, config.evaluate_every_epochs):
        return {}
    metrics: dict[str, float] = {}
    if group.leads:
        metrics = judge(*training.embed(validation), validation.features.owner)
    told = group.told(metrics.get(METRIC), training.compute.device)
    return metrics if group.leads or told is None else {METRIC: told}


def _watch(
    training: TowerTraining,
    bar: Counter,
    journal: Journal,
    asked: Callable[[], bool],
    keep: Callable[[], None],
) -> Watch:
    """Advance the bar at each step, show and log a hundred of them, keep the state now and then."""
    config = training.config
    every = max(1, config.encoder_epochs * training.steps_per_epoch // 100)

    def watch(step: int, pairs: int, loss: torch.Tensor) -> bool:
        bar.update(pairs)
        if step % every == 0:
            value = float(loss)
            bar.set_postfix_str(f"loss {value:.3f}")
            journal.log_metrics({"pretrain/step_loss": value}, step=step)
        stop = asked()
        within = training.step < training.steps_per_epoch  # the epoch's end is kept with its row
        if within and (stop or (step + 1) % config.checkpoint_every_steps == 0):
            keep()
        return stop

    return watch


def _row(
    training: TowerTraining,
    steps_before: int,
    loss: float,
    rate: float,
    metrics: dict[str, float],
) -> dict[str, float]:
    """One row of the history; epochs and steps count on from those over locked towers."""
    step = training.epoch * training.steps_per_epoch
    return {
        "epoch": training.config.epochs + training.epoch,
        "step": steps_before + step,
        "loss": loss,
        "lr": training.lr(step - 1),
        "logit_scale": float(training.model.logit_scale.detach().exp()),
        **metrics,
        "pairs_per_s": rate,
    }


def _trained(training: TowerTraining) -> TrainedTowers:
    with training.average.used():
        changed = changed_state(training.model, training.unlocked.names)
    state = {name: value.numpy() for name, value in changed.items()}
    # A pair of open_clip's own ends in the shared space by itself.
    width = training.image_width if training.config.projections == "none" else 0
    prefixes = tower_prefixes(pair=width > 0)
    towers = {name: value for name, value in state.items() if name.startswith(prefixes)}
    return TrainedTowers(projections_of(state, width), towers, training.history)
