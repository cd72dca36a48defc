"""What every few-label method takes and gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from sports_clip_pipeline.models.head import Head, Operation

if TYPE_CHECKING:
    from sports_clip_pipeline.config.finetune import FinetuneConfig

Value = TypeVar("Value")


class Memory:
    """What methods made of one set of rows, for the next method on the same rows.

    Attributes:
        borrowed_s: seconds that those took who made what the method at hand found here; it costs as
            much as if it had made that itself.
    """

    def __init__(self) -> None:
        self._made: dict[Hashable, tuple[Any, float]] = {}
        self.begin()

    def begin(self) -> None:
        """A method begins: it has borrowed nothing yet."""
        self.borrowed_s = 0.0
        self._own: set[Hashable] = set()

    def once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value under `key`, made if it is not there; nobody may change it."""
        if key in self._made:
            value, elapsed_s = self._made[key]
            self.borrowed_s += 0.0 if key in self._own else elapsed_s
        else:
            start = time.perf_counter()
            value = make()
            self._made[key] = value, time.perf_counter() - start
        self._own.add(key)
        found: Value = value
        return found


@dataclass(frozen=True)
class Labelled:
    """The labelled photographs of one arm.

    Attributes:
        features: (n, D) float32 pooled tower features.
        target: (n,) int64 in [0, classes).
        fold: (n,) int; which fold holds the row out, −1 for never.
        classes: number of classes of the study.
        memory: of these very rows.
    """

    features: np.ndarray
    target: np.ndarray
    fold: np.ndarray
    classes: int
    memory: Memory = field(default_factory=Memory, init=False, repr=False, compare=False)

    def where(self, mask: np.ndarray) -> Labelled:
        """The rows under a boolean mask (n,)."""
        return Labelled(self.features[mask], self.target[mask], self.fold[mask], self.classes)


@dataclass(frozen=True)
class TextAnchors:
    """What is known before the first label: the classes' text anchors, and the features' spaces.

    Attributes:
        anchors: (C, P) float32 unit-norm text embeddings.
        logit_scale: scale of cosines, > 0.
        image_weight: (P, D₀) projection of the first tower's pooled features. image_bias: (P,).
        image_body: operations on those features before it.
        widths: columns of each tower in the features, the first tower first; empty where the
            features are those of one tower.
        zero_shot: features (N, D) to zero-shot logits (N, C); None for the cosines to `anchors`.
        space: what `scaled` gives: `tower` (the first), `towers` (all), `clip` (embeddings).
    """

    anchors: np.ndarray
    logit_scale: float
    image_weight: np.ndarray
    image_bias: np.ndarray
    widths: tuple[int, ...] = ()
    zero_shot: Head | None = None
    image_body: tuple[Operation, ...] = ()
    space: str = "tower"

    def embed(self) -> tuple[Operation, ...]:
        """Pooled features to unit-norm image embeddings, as operations of a head."""
        projection = {"weight": self.image_weight, "bias": self.image_bias}
        mapped = (*self.image_body, Operation("affine", projection))
        return (*self._first(), *mapped, Operation("l2_normalise"))

    def scaled(self, root: bool = False) -> tuple[Operation, ...]:
        """Pooled features to unit-norm rows of the method's own space.

        Args:
            root: take the square root before; tower features only (pooled activations are
                non-negative, embeddings are not). Source: Arandjelović and Zisserman 2012.
        """
        if self.space == "clip":
            return self.embed()
        if self.space == "tower":
            return (*self._first(), *tower_rows((), root))
        return tower_rows(self.widths, root)

    def raw(self) -> tuple[Operation, ...]:
        """Pooled features to the unscaled columns of the method's own space."""
        if self.space == "clip":
            return self.embed()
        return self._first() if self.space == "tower" else ()

    def zero_shot_head(self) -> Head:
        """Features (N, D) to zero-shot logits (N, C)."""
        if self.zero_shot is not None:
            return self.zero_shot
        weight = (self.anchors * self.logit_scale).astype(np.float32)
        bias = np.zeros(len(weight), dtype=np.float32)
        return Head((*self.embed(), Operation("affine", {"weight": weight, "bias": bias})))

    def _first(self) -> tuple[Operation, ...]:
        """The first tower's columns, where there are others."""
        if len(self.widths) < 2:
            return ()
        stop = np.asarray(self.widths[0], dtype=np.float32)
        return (Operation("columns", {"start": np.zeros_like(stop), "stop": stop}),)


def tower_rows(widths: tuple[int, ...], root: bool = False) -> tuple[Operation, ...]:
    """Pooled features of towers side by side to unit-norm rows, each tower with an even share.

    Args:
        widths: columns of each tower; fewer than two for one tower. root: see `scaled`.
    """
    exponent = {"exponent": np.asarray(0.5, dtype=np.float32)}
    power = (Operation("power", exponent),) if root else ()
    if len(widths) < 2:
        return (*power, Operation("l2_normalise"))
    blocks = {"widths": np.asarray(widths, dtype=np.float32)}
    return (*power, Operation("blocks_l2_normalise", blocks))


@dataclass(frozen=True)
class Fit:
    """A fitted head, and what the labelled part alone says of it.

    Attributes:
        head: pooled features (N, D) to logits (N, C).
        temperature: divides the logits; fitted on held-out folds.
        hyperparameters: what k-fold chose, JSON-like.
        cv_top1: accuracy on held-out folds. cv_log_loss: nats, after the temperature.
        held_out: (n, C) float32 probabilities of each labelled row by heads that did not see it;
            NaN where a row was never held out.
    """

    head: Head
    temperature: float
    hyperparameters: dict[str, Any]
    cv_top1: float
    cv_log_loss: float
    held_out: np.ndarray | None = None


class Method(Protocol):
    """Fit a classifier from few labels."""

    def __call__(
        self,
        labelled: Labelled,
        anchors: TextAnchors,
        config: FinetuneConfig,
        seed: int,
        unlabelled: np.ndarray | None = None,
    ) -> Fit:
        """Fit on the labelled rows.

        Args:
            anchors: with `space` set to the method's own.
            seed: of everything random in the method.
            unlabelled: (U, D) pooled features of further development photographs, or None.
        """


@dataclass(frozen=True)
class MethodSpec:
    """Where a method lives.

    Attributes:
        module: in this package.
        space: what it sees: `tower` (the first image tower), `towers` (all side by side), `clip`
            (embeddings in the space shared with text).
        settings: prefixes of the fields of `FinetuneConfig` that it alone reads.
        unlabelled: whether it learns from the development photographs without labels too.
    """

    module: str
    space: str
    settings: tuple[str, ...] = ()
    unlabelled: bool = False


METHODS: Mapping[str, MethodSpec] = {
    "notebook_mlp": MethodSpec("notebook_mlp", "clip", ("mlp_",)),
    "logreg_tower": MethodSpec("logreg_tower", "tower", ("logreg_c",)),
    "logreg_towers": MethodSpec("logreg_tower", "towers", ("logreg_c",)),
    "logreg_clip": MethodSpec("logreg_tower", "clip", ("logreg_c",)),
    "logreg_clip_text_init": MethodSpec("logreg_clip_text_init", "clip", ("text_init_c",)),
    "nearest_mean": MethodSpec("nearest_mean", "towers"),
    "nearest_mean_clip": MethodSpec("nearest_mean", "clip"),
    "ridge": MethodSpec("ridge", "towers", ("ridge_",)),
    "ridge_clip": MethodSpec("ridge", "clip", ("ridge_",)),
    "gda": MethodSpec("gda", "towers", ("gda_",)),
    "gda_clip": MethodSpec("gda", "clip", ("gda_",)),
    "gda_blend": MethodSpec("gda_blend", "towers", ("gda_",)),
    "tip_adapter": MethodSpec("tip_adapter", "towers", ("tip_keys", "tip_sharpness")),
    "tip_adapter_clip": MethodSpec("tip_adapter", "clip", ("tip_keys", "tip_sharpness")),
    "tip_adapter_f": MethodSpec("tip_adapter_f", "towers", ("tip_",)),
    "tip_adapter_f_clip": MethodSpec("tip_adapter_f", "clip", ("tip_",)),
    "lp_plus_plus": MethodSpec("lp_plus_plus", "towers", ("lp_",)),
    "lp_plus_plus_clip": MethodSpec("lp_plus_plus", "clip", ("lp_",)),
    "clap": MethodSpec("clap", "clip"),
    "prolip": MethodSpec("prolip", "tower"),
    "ridge_blend": MethodSpec("ridge_blend", "towers", ("ridge_",)),
    "logreg_blend": MethodSpec("logreg_blend", "towers", ("blend_",)),
    "committee": MethodSpec("committee", "towers", ("blend_", "ridge_")),
    "gda_em": MethodSpec("gda_em", "towers", ("blend_", "em_"), unlabelled=True),
    "self_training": MethodSpec(
        "self_training", "towers", ("blend_", "em_", "student_"), unlabelled=True
    ),
    "label_propagation": MethodSpec(
        "label_propagation",
        "towers",
        ("blend_", "em_width", "student_", "spread_"),
        unlabelled=True,
    ),
    "pseudo_labels": MethodSpec(
        "pseudo_labels", "towers", ("em_width", "student_steps", "pseudo_"), unlabelled=True
    ),
}


def find_method(name: str) -> Method:
    """The `fit` of the method's module. Raises: ValueError: no such method."""
    if name not in METHODS:
        raise ValueError(f"method is one of {', '.join(METHODS)}, got {name!r}")
    method: Method = import_module(f"{__package__}.{METHODS[name].module}").fit
    return method
