"""End-to-end trials: plan, held-out split, training, choice, refit, resume and estimate."""

import logging
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch

from sports_clip_pipeline.data.splits import labels_for_fraction
from sports_clip_pipeline.encoders.image_encoders import image_encoder
from sports_clip_pipeline.encoders.text_encoders import text_encoder_spec
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.fewshot.cross_validation import Setting, select_candidate
from sports_clip_pipeline.fewshot.end_to_end_methods import METHODS, EndToEndMethod, Start
from sports_clip_pipeline.fewshot.trial import FittedTrial, TrialKey, load_trial, save_trial
from sports_clip_pipeline.io.fingerprint import fingerprint
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.machine import cores, retain_freed_memory
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training import classification
from sports_clip_pipeline.training.classification import ImageClassifier, LabelledImages
from sports_clip_pipeline.training.distributed import Compute
from sports_clip_pipeline.training.images import DecodedImages
from sports_clip_pipeline.training.trainer import Trainer, TrainSettings

_LOG = logging.getLogger(__name__)
# Which trials there are, and how they are saved, changes none of them.
_PLAN = {"methods", "fractions", "seeds", "checkpoint_every_steps", "threads"}
_OF_METHODS = {name for method in METHODS.values() for name in method.settings}
# A trial's encoder is saved twice, in its state and in its predictor's folder, as float32.
_BYTES = 2 * 4


@dataclass(frozen=True)
class EndToEndStudy:
    """The N development images, decoded when a trial is trained; no test image is here.

    Attributes:
        target: (N,) int64 classes. splits: their rows of the splits table, with `rank_seed_*`.
    """

    images: DecodedImages
    target: np.ndarray
    splits: pd.DataFrame
    start: Start

    def labelled_rows(self, key: TrialKey) -> np.ndarray:
        """(n,) int64; the images whose labels the trial may use."""
        return labels_for_fraction(self.splits, key.label_fraction, key.seed)

    def held_out(self, key: TrialKey, config: EndToEndConfig) -> np.ndarray:
        """(n,) bool; which of the labelled images the first training does not see."""
        rows = self.labelled_rows(key)
        groups = self.splits["group"].to_numpy()[rows]
        return held_out_rows(self.target[rows], groups, config.held_out_share, key.seed)

    def fingerprint(self, key: TrialKey, config: EndToEndConfig) -> str:
        """Of a trial: its labelled images (no others), start, settings and code."""
        rows, start = self.labelled_rows(key), self.start
        method = METHODS[key.method]
        ignored = _PLAN | (_OF_METHODS - set(method.settings))
        return fingerprint(
            key.method, key.seed, [self.images.addresses[row] for row in rows], self.target[rows],
            pd.factorize(self.splits["group"].iloc[rows])[0], config.model_dump(exclude=ignored),
            self.images.preprocessing.to_dict(), start.classes, image_encoder(start.encoder).digest,
            sys.modules[__name__],
            _text_fingerprint(start, key.method) if method.uses_text else "",
        )  # fmt: skip


def plan_end_to_end_trials(config: EndToEndConfig) -> list[TrialKey]:
    """All trials of the plan, small fractions first: quick ones come early."""
    return [
        TrialKey(method, fraction, seed)
        for fraction in sorted(config.fractions)
        for method in config.methods
        for seed in config.seeds_for(fraction)
    ]


def finished_end_to_end_trials(
    study: EndToEndStudy, config: EndToEndConfig, state: RunState
) -> Iterator[FittedTrial]:
    """The trials of the plan that an earlier run finished under the same fingerprint."""
    for key in plan_end_to_end_trials(config):
        try:
            content = study.fingerprint(key, config)
        except UserFacingError:  # too small a fraction for these classes: nobody has trained it
            continue
        finished = load_trial(key, content, state)
        if finished is not None:
            yield finished


def run_end_to_end_trials(
    study: EndToEndStudy, config: EndToEndConfig, state: RunState
) -> Iterator[FittedTrial]:
    """Train every trial, or read it where an earlier run finished it; resume the unfinished one.

    Raises: UserFacingError: a fraction leaves a class without an image, or a method does not fit
        the encoder; before any trial is trained.
    """
    contents = {key: study.fingerprint(key, config) for key in plan_end_to_end_trials(config)}
    finished = {key: load_trial(key, content, state) for key, content in contents.items()}
    waiting = [key for key, trial in finished.items() if trial is None]
    for method in dict.fromkeys(key.method for key in waiting):
        METHODS[method].build(study.start, config, 0)
    torch.set_num_threads(config.threads or cores())
    retain_freed_memory()
    steps = sum(trial_steps(study, key, config) for key in waiting)
    with state.progress_bar("end to end", steps * config.batch_size, "image") as bar:
        for key, trial in finished.items():
            yield trial or _TrialRun(key, contents[key], study, config, state, bar).run()


def read_encoder(trial: FittedTrial, state: RunState) -> dict[str, np.ndarray]:
    """State dict (float32) of a finished trial's encoder, in the packaged architecture.

    Raises: KeyError: it is not saved.
    """
    saved = state.load_state(trial.key.path, trial.fingerprint)
    if saved is None:
        raise KeyError(trial.key.name)
    encoder = {name: value for name, value in saved[0].items() if name.startswith("encoder.")}
    return {name.removeprefix("encoder."): value for name, value in encoder.items()}


@dataclass(frozen=True)
class _TrialRun:
    """One trial: train without the held-out images, choose on them, refit on all where few."""

    key: TrialKey
    fingerprint: str
    study: EndToEndStudy
    config: EndToEndConfig
    state: RunState
    bar: Any

    @property
    def method(self) -> EndToEndMethod:
        return METHODS[self.key.method]

    def run(self) -> FittedTrial:
        """Train, and save the finished trial."""
        study, config, key, state = self.study, self.config, self.key, self.state
        rows = study.labelled_rows(key)
        target, classes = study.target[rows], study.start.classes
        out = study.held_out(key, config)
        first = final = self._train("held_out", rows[~out], len(rows))
        candidates = self._candidates(first)
        held_out = {setting: np.full((len(rows), classes), np.nan) for setting in candidates}
        for setting, model in candidates.items():
            features = classification.pooled_image_features(
                model.encoder, study.images.open()[rows[out]], study.images.preprocessing,
                config.views,
            )  # fmt: skip
            held_out[setting][out] = model.head.exported()(features)
        refits = len(rows) < config.refit_below
        if refits:
            final = self._train("refit", rows, len(rows))
            candidates = self._candidates(final)

        names = self.method.hyperparameters
        heads = {setting: model.head.exported() for setting, model in candidates.items()}
        fit = select_candidate(target, held_out, names, heads.__getitem__)
        _LOG.info("%s: held-out top-1 %.3f, loss %.3f", key.name, fit.cv_top1, fit.cv_log_loss)
        encoder = candidates[tuple(fit.hyperparameters[name] for name in names)].encoder
        self.method.finish(encoder)
        hyperparameters = {**fit.hyperparameters, "steps": final.steps, "refit": refits}
        fit = replace(fit, hyperparameters=hyperparameters)
        elapsed_s = first.elapsed_s + (final.elapsed_s if refits else 0.0)
        fitted = FittedTrial(key, fit, len(rows), elapsed_s, False, self.fingerprint)
        weights = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
        save_trial(fitted, state, {name: value.numpy() for name, value in weights.items()})
        for stage in ("held_out", "refit"):
            state.delete_state(f"{key.path}.{stage}")
        return fitted

    def _train(self, stage: str, rows: np.ndarray, labels: int) -> Trainer:
        """Train on these images, from the last checkpoint."""
        study, key, state = self.study, self.key, self.state
        labelled = LabelledImages(
            study.images.open(), rows, study.target[rows], study.images.preprocessing
        )
        trained = new_trainer(self.method, study.start, labelled, self.config, key.seed, labels)
        name = f"{key.method} {key.label_fraction:g} seed {key.seed} {stage}"
        metric = f"pixels/{key.name}/{stage}_loss"

        def on_step(trained: Trainer, loss: torch.Tensor) -> None:
            done = trained.steps_done
            self.bar.set_postfix_str(f"{name} {done}/{trained.steps} loss {float(loss):.3f}")
            if done % 10 == 0 or done == trained.steps:
                state.log_metrics({metric: float(loss)}, step=done)

        trained.fit(state, f"{key.path}.{stage}", self.fingerprint, on_step, bar=self.bar)
        return trained

    def _candidates(self, trained: Trainer) -> dict[Setting, ImageClassifier]:
        """Classifiers to choose from, with EMA weights."""
        built = self.method.build(self.study.start, self.config, self.key.seed)
        averaged = {name: value.cpu() for name, value in trained.averaged.state_dict().items()}
        states = self.method.candidates(built.state_dict(), averaged, self.config)
        models = {setting: deepcopy(built) for setting in states}
        for setting, weights in states.items():
            models[setting].load_state_dict(weights, strict=False)
        return models


def new_trainer(
    method: EndToEndMethod,
    start: Start,
    labelled: LabelledImages,
    config: EndToEndConfig,
    seed: int,
    labels: int,
) -> Trainer:
    """A trainer of one method from its start; `labels` counts those held out too."""
    compute = Compute("cuda" if torch.cuda.is_available() else "cpu", "fp32")
    few = labels < config.freeze_batch_norm_below
    shared = {"warmup_share", "ema_decay", "checkpoint_every_steps"}
    settings = TrainSettings(
        epochs=1,
        peak_lr=getattr(config, method.lr),
        betas=(0.9, 0.999),
        fused=True,
        freeze_batch_norm=few if method.freeze_batch_norm is None else method.freeze_batch_norm,
        **config.model_dump(include=shared),
    )
    model, loss = method.build(start, config, seed), partial(method.loss, config=config)
    return Trainer(
        classification.ClassificationTask(model, loss, labelled, config, seed, settings, compute)
    )


def held_out_rows(target: np.ndarray, groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Group-aware hold-out (n,) bool: a share of each class, at least one group of two or more.

    Args: target, groups: (n,) int classes and duplicate groups.
    """
    rng = np.random.default_rng([seed, 1])
    held_out = np.zeros(len(target), dtype=bool)
    for label in np.unique(target):
        rows = rng.permutation(np.flatnonzero(target == label))
        for row in rows:
            more = held_out | (groups == groups[row])
            is_short = held_out[rows].sum() < max(1, round(share * len(rows)))
            if is_short and len(np.unique(target[~more])) == len(np.unique(target)):
                held_out = more
    return held_out


def trial_steps(study: EndToEndStudy, key: TrialKey, config: EndToEndConfig) -> int:
    """Steps of a trial, of its refit too."""
    target = study.target[study.labelled_rows(key)]
    trained_on = int((~study.held_out(key, config)).sum())
    refit_on = [len(target)] if len(target) < config.refit_below else []
    return sum(classification.steps_for(count, config) for count in (trained_on, *refit_on))


def estimate_study(
    study: EndToEndStudy, config: EndToEndConfig, timed_steps: int = 3
) -> pd.DataFrame:
    """Steps, hours and disk of the plan, at the rate that each method reaches here in a few steps.

    Returns: a row for each trial of the plan, in its order: `method`, `fraction`, `seed`, `steps`
        (of a refit too), `hours`, `disk_bytes`.
    """
    parameters = sum(value.numel() for value in study.start.imagenet_encoder().parameters())
    rates = {method: measure_rate(method, study, config, timed_steps) for method in config.methods}
    rows = []
    for key in plan_end_to_end_trials(config):
        steps = trial_steps(study, key, config)
        hours = steps * config.batch_size / rates[key.method] / 3600.0
        rows.append((key.method, key.label_fraction, key.seed, steps, hours, parameters * _BYTES))
    columns = ["method", "fraction", "seed", "steps", "hours", "disk_bytes"]
    return pd.DataFrame(rows, columns=columns)


def measure_rate(method: str, study: EndToEndStudy, config: EndToEndConfig, steps: int) -> float:
    """Images a second that a method trains on noise, after one step to warm up."""
    torch.set_num_threads(config.threads or cores())
    retain_freed_memory()
    preprocessing = study.images.preprocessing
    size, count = preprocessing.size, config.batch_size
    noise = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    rows = np.arange(count)
    labelled = LabelledImages(noise, rows, rows % study.start.classes, preprocessing)
    needed = config.model_copy(update={"min_steps": max(config.min_steps, steps + 1)})
    timed = new_trainer(METHODS[method], study.start, labelled, needed, 0, count)
    batches = timed.task.batches(0, 0)
    timed.train_step(next(batches))
    begin = time.perf_counter()
    for step in islice(batches, steps):
        timed.train_step(step)
    return steps * count / (time.perf_counter() - begin)


def _text_fingerprint(start: Start, method: str) -> str:
    """Of the zero-shot start; of the prompts too for the one method that trains against them."""
    pretrained, prompts = start.pretrained, start.prompts
    encoder = [part for item in sorted(start.clip_weights.items()) for part in item]
    projection = pretrained.image_weight, pretrained.image_bias
    zero_shot = pretrained.zero_shot_weights, pretrained.logit_scale
    content = fingerprint(*zero_shot, *projection, *encoder)
    if method != "flyp":
        return content
    text_encoder = text_encoder_spec(prompts.text_encoder).digest, prompts.encoder_fingerprint
    texts = [list(prompts.texts), prompts.context_length, *text_encoder]
    return fingerprint(content, texts, prompts.class_index, prompts.text_weight)
