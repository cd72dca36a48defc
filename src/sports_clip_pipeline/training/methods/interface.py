"""What every few-label method takes and gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head, Operation

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
