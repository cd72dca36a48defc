"""Few-shot methods: their interface and registry.

A method is a pydantic model whose fields are its settings (`finetune.methods.<name>` in `conf/`)
and whose `fit` returns a classifier head. A new method is one class and one line of `METHODS`.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Self, TypeVar

import numpy as np

from sports_clip_pipeline.clip.projections import Pretrained
from sports_clip_pipeline.parameters import Parameters
from sports_clip_pipeline.predictor.head import Head

Value = TypeVar("Value")


class ResultCache:
    """Intermediate results of one labelled subset, shared by the methods that are fitted on it.

    Attributes:
        reused_s: seconds that computing what the current trial reused took.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, tuple[Any, float]] = {}
        self.begin_trial()

    def begin_trial(self) -> None:
        """Reset the account of reused seconds."""
        self.reused_s = 0.0
        self._used: set[Hashable] = set()

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """The value under `key`, computed on first use; it must not be changed."""
        if key not in self._values:
            start = time.perf_counter()
            value = compute()
            self._values[key] = value, time.perf_counter() - start
        elif key not in self._used:
            self.reused_s += self._values[key][1]
        self._used.add(key)
        return self._values[key][0]


@dataclass(frozen=True)
class Labelled:
    """The labelled images of one trial.

    Attributes:
        features: (n, D) float32 pooled encoder features.
        target: (n,) int64 in [0, classes).
        fold: (n,) int; the cross-validation fold that holds the row out, −1 for never.
        cache: intermediate results of exactly these rows.
    """

    features: np.ndarray
    target: np.ndarray
    fold: np.ndarray
    classes: int
    cache: ResultCache = field(default_factory=ResultCache, init=False, repr=False, compare=False)

    def where(self, mask: np.ndarray) -> Self:
        """The rows under a boolean mask (n,)."""
        return type(self)(self.features[mask], self.target[mask], self.fold[mask], self.classes)


@dataclass(frozen=True)
class Task:
    """What a method is fitted on.

    Attributes:
        pretrained: with `space` set to the method's.
        unlabelled: (U, D) pooled features of the other development images, or None.
    """

    labelled: Labelled
    pretrained: Pretrained
    seed: int = 0
    unlabelled: np.ndarray | None = None


@dataclass(frozen=True)
class Fit:
    """A fitted head and its cross-validation scores.

    Attributes:
        head: pooled features (N, D) to logits (N, C).
        temperature: divides the logits; fitted on held-out folds.
        hyperparameters: what cross-validation chose, JSON-like.
        cv_top1: accuracy on held-out folds. cv_log_loss: nats, after the temperature.
        held_out: (n, C) float32 probabilities of each labelled row by heads fitted without it;
            NaN where a row was never held out.
    """

    head: Head
    temperature: float
    hyperparameters: dict[str, Any]
    cv_top1: float
    cv_log_loss: float
    held_out: np.ndarray = field(compare=False)


class Method(Parameters):
    """Base class of few-shot methods; the fields are the settings."""

    def fit(self, task: Task) -> Fit:
        """Fit a classifier on the task's labelled images."""
        raise NotImplementedError


@dataclass(frozen=True)
class MethodSpec:
    """A registered method.

    Attributes:
        path: `module:Class` in this package.
        space: its features: `first_encoder`, `all_encoders` (concatenated) or `clip` (embeddings).
        display_name: in figures and tables.
        unlabelled: whether it learns from the unlabelled development images too.
    """

    path: str
    space: str
    display_name: str
    unlabelled: bool = False

    @property
    def module(self) -> str:
        """The full name of its module."""
        return f"{__package__}.{self.path.split(':')[0]}"


_FIRST, _ALL, _CLIP = "first_encoder", "all_encoders", "clip"
_LOGREG, _NEAREST = "linear:LogisticRegression", "linear:NearestMean"
_TEXT_INIT, _SEMI = "linear:TextInitLogisticRegression", "semi_supervised"
METHODS: Mapping[str, MethodSpec] = {
    "notebook_mlp": MethodSpec("adapters:NotebookMlp", _CLIP, "MLP head of the notebook"),
    "logreg": MethodSpec(_LOGREG, _FIRST, "Logistic regression, first encoder"),
    "logreg_all_encoders": MethodSpec(_LOGREG, _ALL, "Logistic regression, all encoders"),
    "logreg_clip": MethodSpec(_LOGREG, _CLIP, "Logistic regression, CLIP space"),
    "logreg_clip_text_init": MethodSpec(_TEXT_INIT, _CLIP, "Logistic regression with a text prior"),
    "nearest_mean": MethodSpec(_NEAREST, _ALL, "Nearest class mean, all encoders"),
    "nearest_mean_clip": MethodSpec(_NEAREST, _CLIP, "Nearest class mean, CLIP space"),
    "ridge": MethodSpec("linear:Ridge", _ALL, "Ridge regression, all encoders"),
    "ridge_clip": MethodSpec("linear:Ridge", _CLIP, "Ridge regression, CLIP space"),
    "gda": MethodSpec("discriminant:Gda", _ALL, "GDA, all encoders"),
    "gda_clip": MethodSpec("discriminant:Gda", _CLIP, "GDA, CLIP space"),
    "gda_blend": MethodSpec("ensemble:GdaBlend", _ALL, "GDA with zero-shot"),
    "tip_adapter": MethodSpec("adapters:TipAdapter", _ALL, "Tip-Adapter, all encoders"),
    "tip_adapter_clip": MethodSpec("adapters:TipAdapter", _CLIP, "Tip-Adapter, CLIP space"),
    "tip_adapter_f": MethodSpec("adapters:TipAdapterF", _ALL, "Tip-Adapter-F, all encoders"),
    "tip_adapter_f_clip": MethodSpec("adapters:TipAdapterF", _CLIP, "Tip-Adapter-F, CLIP space"),
    "lp_plus_plus": MethodSpec("linear:LpPlusPlus", _ALL, "LP++, all encoders"),
    "lp_plus_plus_clip": MethodSpec("linear:LpPlusPlus", _CLIP, "LP++, CLIP space"),
    "clap": MethodSpec("linear:Clap", _CLIP, "CLAP"),
    "prolip": MethodSpec("adapters:ProLip", _FIRST, "ProLIP"),
    "ridge_blend": MethodSpec("ensemble:RidgeBlend", _ALL, "Ridge regression with zero-shot"),
    "logreg_blend": MethodSpec("ensemble:LogregBlend", _ALL, "Logistic regression with zero-shot"),
    "stacked_ensemble": MethodSpec("ensemble:StackedEnsemble", _ALL, "Stacked ensemble"),
    "gda_em": MethodSpec(f"{_SEMI}:GdaEm", _ALL, "Gaussian mixture by EM", True),
    "self_training": MethodSpec(
        f"{_SEMI}:SelfTraining", _ALL, "Self-training with unlabelled images", True
    ),
    "label_propagation": MethodSpec(
        f"{_SEMI}:LabelPropagation", _ALL, "Label propagation over unlabelled images", True
    ),
    "pseudo_labels": MethodSpec(
        f"{_SEMI}:PseudoLabels", _ALL, "Pseudo-labels on unlabelled images", True
    ),
}


def method_class(name: str) -> type[Method]:
    """The class of a registered method. Raises: ValueError: there is no such method."""
    if name not in METHODS:
        raise ValueError(f"wanted one of {', '.join(METHODS)}, got {name!r}")
    spec = METHODS[name]
    return getattr(import_module(spec.module), spec.path.split(":")[1])


def display_name(method: str, names: Mapping[str, str]) -> str:
    """The display name of a method: from `names`, from the registry, or its key."""
    return names.get(method) or (METHODS[method].display_name if method in METHODS else method)
