"""Trials of the end-to-end plan: held-out split, training, choice, resume, estimate, predictor."""

from __future__ import annotations

import ast
import inspect
import logging
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from sports_clip_pipeline.data.splits import labels_for_fraction
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders.image_encoders import image_encoder
from sports_clip_pipeline.encoders.text_encoders import text_encoder_spec
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.fewshot.base import Fit
from sports_clip_pipeline.fewshot.cross_validation import fit_temperature, log_loss
from sports_clip_pipeline.fewshot.end_to_end_methods import (
    EndToEndMethod,
    Start,
    find_end_to_end_method,
)
from sports_clip_pipeline.fewshot.shipping import abstention_threshold
from sports_clip_pipeline.fewshot.trial import (
    FittedTrial,
    TrialKey,
    trial_from_state,
    trial_to_state,
)
from sports_clip_pipeline.io.fingerprint import fingerprint
from sports_clip_pipeline.io.state import ProgressBar, RunState
from sports_clip_pipeline.machine import cores, retain_freed_memory
from sports_clip_pipeline.pipelines.end_to_end.config import EndToEndConfig
from sports_clip_pipeline.predictor.head import softmax
from sports_clip_pipeline.predictor.predictor import Predictor
from sports_clip_pipeline.training import classification, images, trainer
from sports_clip_pipeline.training.classification import (
    ClassificationTask,
    ImageClassifier,
    LabelledImages,
    pooled_image_features,
    steps_for,
)
from sports_clip_pipeline.training.distributed import Compute
from sports_clip_pipeline.training.images import DecodedImages
from sports_clip_pipeline.training.trainer import Trainer, TrainSettings

_LOG = logging.getLogger(__name__)
# Which trials there are, and how they are saved, changes none of them.
_PLAN = {"methods", "fractions", "seeds", "checkpoint_every_steps", "threads"}
_OF_METHODS = ("random_lr", "last_blocks", "lora_rank", "lora_alpha", "lora_lr", "wise_alphas")
_SHARED_CODE = (classification, images, trainer, Start, EndToEndMethod)
# A trial's encoder is saved twice, in the journal and in its predictor's folder, as float32.
_BYTES = 2 * 4


@dataclass(frozen=True)
class EndToEndTrial:
    """A finished trial with its classifier.

    Attributes:
        fitted: its head, temperature and held-out predictions.
        encoder_weights: state dict of its encoder, float32, in the packaged architecture.
        fingerprint: of all it depends on.
    """

    fitted: FittedTrial
    encoder_weights: dict[str, np.ndarray]
    fingerprint: str


@dataclass(frozen=True)
class EndToEndStudy:
    """The development images, and what pretraining knows. No test image is here.

    Attributes:
        images: the N development images, decoded when a trial is trained.
        target: (N,) int64 classes.
        splits: their rows of the splits table, in the same order.
        start: the encoder, the zero-shot class weights and the prompts.
    """

    images: DecodedImages
    target: np.ndarray
    splits: pd.DataFrame
    start: Start

    def rows(self, trial: TrialKey) -> np.ndarray:
        """(n,) int64; the images whose labels the trial may use."""
        return labels_for_fraction(self.splits, trial.label_fraction, trial.seed)

    def fingerprint(self, trial: TrialKey, config: EndToEndConfig) -> str:
        """Of a trial: its labelled images, start, settings and code.

        Images that the trial has no label of, test images among them, are no part of it.
        """
        rows, start = self.rows(trial), self.start
        method = find_end_to_end_method(trial.method)
        settings = {
            key: value
            for key, value in config.model_dump().items()
            if key not in _PLAN and (key not in _OF_METHODS or key in method.settings)
        }
        code = [code_fingerprint(part) for part in (*_SHARED_CODE, type(method), *method.code)]
        return fingerprint(
            trial.method, trial.seed, [self.images.addresses[row] for row in rows],
            self.target[rows], settings, code, self.images.preprocessing.to_dict(), start.classes,
            image_encoder(start.tower).digest, _text_fingerprint(start, trial.method),
        )  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """What held-out labelled images decided, and their logits (n, C)."""

    candidate: str
    temperature: float
    top1: float
    log_loss: float
    logits: np.ndarray


def plan_end_to_end_trials(config: EndToEndConfig) -> list[TrialKey]:
    """All trials of the plan, small fractions first: what is quick is seen early."""
    return [
        TrialKey(method, fraction, seed)
        for fraction in sorted(config.fractions)
        for method in config.methods
        for seed in config.seeds_for(fraction)
    ]


def finished_end_to_end_trials(
    study: EndToEndStudy, config: EndToEndConfig, journal: RunState
) -> Iterator[EndToEndTrial]:
    """The trials of the plan that an earlier run finished under the same fingerprint."""
    for trial in plan_end_to_end_trials(config):
        try:
            content = study.fingerprint(trial, config)
        except UserFacingError:  # too small a fraction for these classes: nobody has trained it
            continue
        finished = read_end_to_end_trial(trial, content, journal)
        if finished is not None:
            yield finished


def run_end_to_end_trials(
    study: EndToEndStudy, config: EndToEndConfig, journal: RunState
) -> Iterator[EndToEndTrial]:
    """Train every trial, or read it where an earlier run finished it; resume the unfinished one.

    Raises: UserFacingError: a fraction leaves a class without an image, or a method does not fit
        the encoder; before any trial is trained.
    """
    trials = plan_end_to_end_trials(config)
    contents = {trial: study.fingerprint(trial, config) for trial in trials}
    waiting = [t for t in trials if journal.load_state(t.path, contents[t]) is None]
    for method in dict.fromkeys(trial.method for trial in waiting):
        find_end_to_end_method(method).build(study.start, config, 0)
    torch.set_num_threads(config.threads or cores())
    retain_freed_memory()
    total = sum(_steps(trial, study, config) for trial in waiting) * config.batch_size
    with journal.progress_bar("end to end", total, "image") as bar:
        for trial in trials:
            finished = None
            if trial not in waiting:
                finished = read_end_to_end_trial(trial, contents[trial], journal)
            yield finished or _TrialRun(trial, contents[trial], study, config, journal, bar).run()


def read_end_to_end_trial(trial: TrialKey, content: str, journal: RunState) -> EndToEndTrial | None:
    """The trial as an earlier run finished it under this fingerprint, or None."""
    state = journal.load_state(trial.path, content)
    if state is None:
        return None
    arrays, meta = state
    encoder = {
        name.removeprefix("encoder."): value
        for name, value in arrays.items()
        if name.startswith("encoder.")
    }
    return EndToEndTrial(trial_from_state(trial, arrays, meta, content), encoder, content)


@dataclass(frozen=True)
class _TrialRun:
    """One trial: train without the held-out images, choose on them, refit on all where few."""

    trial: TrialKey
    fingerprint: str
    study: EndToEndStudy
    config: EndToEndConfig
    journal: RunState
    bar: ProgressBar

    @property
    def method(self) -> EndToEndMethod:
        return find_end_to_end_method(self.trial.method)

    def run(self) -> EndToEndTrial:
        """Train, and save the finished trial."""
        study, config, trial = self.study, self.config, self.trial
        rows = study.rows(trial)
        out = held_out_rows(study.target[rows], config.held_out_share, trial.seed)
        first = self._train("held_out", rows[~out], len(rows))
        choice = self._choose(first, rows[out])
        refits = len(rows) < config.refit_below
        final = self._train("refit", rows, len(rows)) if refits else first
        model = self._candidates(final)[choice.candidate]
        self.method.finish(model.encoder)
        predictions = np.full((len(rows), study.start.classes), np.nan, dtype=np.float32)
        predictions[out] = softmax(choice.logits / choice.temperature)
        chosen = self.method.describe(choice.candidate)
        fit = Fit(
            head=model.head.exported(),
            temperature=choice.temperature,
            hyperparameters={**chosen, "steps": final.steps, "refit": refits},
            cv_top1=choice.top1,
            cv_log_loss=choice.log_loss,
            held_out=predictions,
        )
        elapsed_s = first.elapsed_s + (final.elapsed_s if refits else 0.0)
        fitted = FittedTrial(trial, fit, len(rows), elapsed_s, reused=False)
        weights = {
            name: value.detach().contiguous().numpy().copy()
            for name, value in model.encoder.state_dict().items()
        }
        arrays, meta = trial_to_state(fitted)
        arrays |= {f"encoder.{name}": value for name, value in weights.items()}
        self.journal.save_state(trial.path, self.fingerprint, arrays, meta)
        for stage in ("held_out", "refit"):
            self.journal.delete_state(f"{trial.path}.{stage}")
        return EndToEndTrial(fitted, weights, self.fingerprint)

    def _train(self, stage: str, rows: np.ndarray, labels: int) -> Trainer:
        """Train on these images, from the last checkpoint."""
        study, trial, journal = self.study, self.trial, self.journal
        labelled = LabelledImages(
            study.images.open(), rows, study.target[rows], study.images.preprocessing
        )
        trained = new_trainer(self.method, study.start, labelled, self.config, trial.seed, labels)
        name = f"{trial.method} {trial.label_fraction:g} seed {trial.seed}"
        metric = f"pixels/{trial.method}/{trial.label_fraction:g}/{trial.seed}/{stage}_loss"
        shown = 0

        def on_step(trained: Trainer, count: int, loss: torch.Tensor) -> None:
            nonlocal shown
            done = trained.steps_done
            self.bar.update((done - shown) * self.config.batch_size)
            shown = done
            progress = f"{done}/{trained.steps} loss {float(loss):.3f}"
            self.bar.set_postfix_str(f"{name} {stage} {progress}")
            if done % 10 == 0 or done == trained.steps:
                journal.log_metrics({metric: float(loss)}, step=done)

        trained.fit(journal, f"{trial.path}.{stage}", self.fingerprint, on_step)
        self.bar.update((trained.steps_done - shown) * self.config.batch_size)
        return trained

    def _choose(self, trained: Trainer, rows: np.ndarray) -> Choice:
        """The candidate with the least log loss on held-out labelled images; its temperature."""
        study, target = self.study, self.study.target[rows]
        held_out, choices = study.images.open()[rows], []
        for name, model in self._candidates(trained).items():
            features = pooled_image_features(
                model.encoder, held_out, study.images.preprocessing, self.config.views
            )
            logits = model.head.exported()(features)
            temperature = fit_temperature(logits, target)
            loss = log_loss(logits / temperature, target)
            top1 = float((logits.argmax(axis=1) == target).mean())
            choices.append(Choice(name, temperature, top1, loss, logits))
            what = name or "trained"
            _LOG.info("%s %s: held-out top-1 %.3f, loss %.3f", self.trial.path, what, top1, loss)
        return min(choices, key=lambda choice: choice.log_loss)

    def _candidates(self, trained: Trainer) -> dict[str, ImageClassifier]:
        """Classifiers to choose from, with EMA weights."""
        built = self.method.build(self.study.start, self.config, self.trial.seed)
        averaged = {name: value.cpu() for name, value in trained.averaged.state_dict().items()}
        models = {}
        for name, state in self.method.candidates(
            built.state_dict(), averaged, self.config
        ).items():
            models[name] = deepcopy(built)
            models[name].load_state_dict(state, strict=False)
        return models


def new_trainer(
    method: EndToEndMethod,
    start: Start,
    labelled: LabelledImages,
    config: EndToEndConfig,
    seed: int,
    labels: int | None = None,
) -> Trainer:
    """A trainer of one method from its start.

    Args:
        labels: labelled images of the trial, held-out ones among them; those of `labelled` where
            not given.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    few = (len(labelled.rows) if labels is None else labels) < config.freeze_batch_norm_below
    frozen = few if method.freeze_batch_norm is None else method.freeze_batch_norm
    task = ClassificationTask(
        method.build(start, config, seed), partial(method.loss, config=config), labelled, config,
        seed, device, frozen,
    )  # fmt: skip
    settings = TrainSettings(
        epochs=1,
        peak_lr=method.peak_lr(config),
        warmup_share=config.warmup_share,
        betas=(0.9, 0.999),
        ema_decay=config.ema_decay,
        fused=True,
        checkpoint_every_steps=config.checkpoint_every_steps,
    )
    return Trainer(task, settings, Compute(device, "fp32"))


def held_out_rows(target: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Held-out split: a share of each class's labelled images, at least one of two or more.

    Args:
        target: (n,) int classes of the labelled images.
    Returns: (n,) bool.
    """
    rng = np.random.default_rng([seed, 1])
    held_out = np.zeros(len(target), dtype=bool)
    for label in np.unique(target):
        rows = rng.permutation(np.flatnonzero(target == label))
        count = max(1, round(share * len(rows))) if len(rows) > 1 else 0
        held_out[rows[:count]] = True
    return held_out


def predictor_of(
    trial: EndToEndTrial,
    classes: Sequence[str],
    tower: str,
    preprocessing: ImageTransform,
    views: Sequence[str],
) -> Predictor:
    """The trial as a predictor of its own, at its own resolution.

    Args:
        classes: labels in the order of the logits.
        tower: name of the packaged encoder whose architecture it has.
        preprocessing, views: the encoder's input.
    """
    fitted = trial.fitted
    return Predictor(
        classes=tuple(classes),
        image_encoder=tower,
        preprocessing=preprocessing,
        head=fitted.fit.head,
        temperature=fitted.fit.temperature,
        views=tuple(views),
        encoder_weights=trial.encoder_weights,
        origin={
            "method": fitted.key.method,
            "fraction": fitted.key.label_fraction,
            "seed": fitted.key.seed,
            "labels": fitted.labels,
            "hyperparameters": fitted.fit.hyperparameters,
            "cv_top1": fitted.fit.cv_top1,
        },
        threshold=abstention_threshold(fitted.fit.held_out),
    )


@dataclass(frozen=True)
class EndToEndPredictions:
    """Logits of end-to-end trials on test images; computed once, then read from the journal.

    Attributes:
        images: the N test images, decoded when a trial is evaluated. classes: C labels.
        tower: name of the packaged encoder whose architecture the trials have.
        views: of each image. journal: that keeps the logits.
        trials: those evaluated, without their encoders, which the journal keeps.
    """

    images: DecodedImages
    classes: tuple[str, ...]
    tower: str
    views: tuple[str, ...]
    journal: RunState
    trials: list[EndToEndTrial] = field(default_factory=list)

    def evaluate(self, trial: EndToEndTrial) -> np.ndarray:
        """Logits (N, C) of a trial."""
        logits = self.logits(trial.fitted.key, trial.fingerprint)
        if logits is None:
            predictor = self._predictor(trial)
            features = pooled_image_features(
                predictor.module().encoder,
                self.images.open(),
                self.images.preprocessing,
                self.views,
            )
            logits = predictor.head(features).astype(np.float32)
            content = self._content(trial.fingerprint)
            self.journal.save_state(_key(trial.fitted.key), content, {"logits": logits})
        return logits

    def logits(self, trial: TrialKey, content: str) -> np.ndarray | None:
        """Saved logits (N, C) of a trial by its fingerprint, or None."""
        state = self.journal.load_state(_key(trial), self._content(content))
        return None if state is None else state[0]["logits"]

    def add(self, trial: EndToEndTrial) -> None:
        """List one more evaluated trial."""
        self.trials.append(replace(trial, encoder_weights={}))

    def predictor(self, trial: TrialKey, content: str) -> Predictor:
        """A trial as a predictor, its encoder read again. Raises: KeyError: it is not saved."""
        finished = read_end_to_end_trial(trial, content, self.journal)
        if finished is None:
            raise KeyError(trial.name)
        return self._predictor(finished)

    def predictors(self) -> dict[str, Callable[[], Predictor]]:
        """By the name of its folder, what makes each trial's predictor."""
        return {
            folder_name(one.fitted.key): partial(self.predictor, one.fitted.key, one.fingerprint)
            for one in self.trials
        }

    def _predictor(self, trial: EndToEndTrial) -> Predictor:
        return predictor_of(trial, self.classes, self.tower, self.images.preprocessing, self.views)

    def _content(self, content: str) -> str:
        images = self.images
        return fingerprint(content, list(images.addresses), images.preprocessing, list(self.views))


def folder_name(trial: TrialKey) -> str:
    """The folder of a trial's predictor."""
    return f"{trial.method}-{trial.label_fraction:g}-{trial.seed}"


def estimate(
    config: EndToEndConfig,
    labelled_counts: Mapping[float, int],
    images_per_s: Mapping[str, float],
    parameters: int = 0,
) -> pd.DataFrame:
    """Steps, hours and disk of the plan, one row a trial, in its order.

    Args:
        labelled_counts: labelled images at each fraction.
        images_per_s: trained a second, by method.
        parameters: of the encoder.
    Returns: `method`, `fraction`, `seed`, `steps` (of a refit too), `hours`, `disk_bytes`. Without
        a refit, 100 images of which 10 are held out, 8 epochs, batches of 8 and 50 images/s are 90
        steps and 14.4 s.
    Raises: KeyError: a fraction or method without its number.
    """
    rows = []
    for trial in plan_end_to_end_trials(config):
        labels = labelled_counts[trial.label_fraction]
        steps = trial_steps(labels, round(labels * config.held_out_share), config)
        rows.append(
            {
                "method": trial.method,
                "fraction": trial.label_fraction,
                "seed": trial.seed,
                "steps": steps,
                "hours": steps * config.batch_size / images_per_s[trial.method] / 3600.0,
                "disk_bytes": parameters * _BYTES,
            }
        )
    return pd.DataFrame(rows)


def estimate_study(
    study: EndToEndStudy, config: EndToEndConfig, timed_steps: int = 3
) -> pd.DataFrame:
    """The estimate for a study, at the rate that each method reaches here in a few steps."""
    counts = {
        trial.label_fraction: len(study.rows(trial)) for trial in plan_end_to_end_trials(config)
    }
    preprocessing = study.images.preprocessing
    rates = {
        method: measure_rate(method, study.start, preprocessing, config, timed_steps)
        for method in config.methods
    }
    parameters = sum(value.numel() for value in study.start.pretrained().parameters())
    return estimate(config, counts, rates, parameters)


def measure_rate(
    method: str,
    start: Start,
    preprocessing: ImageTransform,
    config: EndToEndConfig,
    steps: int = 3,
) -> float:
    """Images a second that a method trains on noise, after one step to warm up."""
    torch.set_num_threads(config.threads or cores())
    retain_freed_memory()
    rng = np.random.default_rng(0)
    shape = (config.batch_size, preprocessing.size, preprocessing.size, 3)
    noise = rng.integers(0, 256, shape, dtype=np.uint8)
    rows = np.arange(config.batch_size)
    labelled = LabelledImages(noise, rows, rows % start.classes, preprocessing)
    needed = config.model_copy(update={"min_steps": max(config.min_steps, steps + 1)})
    timed = new_trainer(find_end_to_end_method(method), start, labelled, needed, 0)
    begun = []

    def stop(count: int, loss: torch.Tensor) -> bool:
        begun.append(time.perf_counter())
        return len(begun) > steps

    timed.run_epoch(stop)
    return steps * config.batch_size / (begun[-1] - begun[0])


def trial_steps(labels: int, held_out: int, config: EndToEndConfig) -> int:
    """Steps of a trial with so many labelled images, of its refit too."""
    runs = [labels - held_out, *([labels] if labels < config.refit_below else [])]
    shape = config.batch_size, config.epochs, config.min_steps
    return sum(steps_for(count, *shape) for count in runs)


def code_fingerprint(part: Any) -> str:
    """Of what a module, class or function does: comments, layout and docstrings do not count.

    A trial costs up to hours; a sentence put right should not cost it.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(part)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
    return fingerprint(ast.dump(tree))


def _steps(trial: TrialKey, study: EndToEndStudy, config: EndToEndConfig) -> int:
    rows = study.rows(trial)
    out = held_out_rows(study.target[rows], config.held_out_share, trial.seed)
    return trial_steps(len(rows), int(out.sum()), config)


def _text_fingerprint(start: Start, method: str) -> str:
    if not find_end_to_end_method(method).uses_text:
        return ""
    anchors, prompts = start.anchors, start.prompts
    encoder = [part for item in sorted(start.clip_weights.items()) for part in item]
    projection = anchors.image_weight, anchors.image_bias
    content = fingerprint(anchors.zero_shot_weights, anchors.logit_scale, *projection, *encoder)
    if method != "flyp":
        return content
    text_encoder = text_encoder_spec(prompts.text_encoder).digest, prompts.encoder_fingerprint
    texts = [list(prompts.texts), prompts.context_length, *text_encoder]
    return fingerprint(content, texts, prompts.class_index, prompts.text_weight)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _key(trial: TrialKey) -> str:
    return f"evaluated/{trial.path}"
