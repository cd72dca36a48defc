"""The zero-shot classifier as a head on pooled image features, from what is known of the classes.

Two witnesses are added. The contrastive one compares the image embedding with the text anchors.
The other asks the image tower's own 1,000-class head: its probabilities average the text features
of the class names into a description, which is compared with the prompts in the text tower's own
space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sports_clip_pipeline.models import image_towers
from sports_clip_pipeline.models.anchors import encode_texts
from sports_clip_pipeline.models.head import Head, Operation, add
from sports_clip_pipeline.models.imagenet import (
    imagenet_classifier,
    imagenet_definitions,
    imagenet_names,
)
from sports_clip_pipeline.models.unit_norm import unit_norm
from sports_clip_pipeline.pipelines.tokenize.config import TokenizeConfig


@dataclass(frozen=True)
class NamedClasses:
    """The image tower's own classes, with what the text tower makes of their names.

    Attributes:
        weight: (K, D) and bias: (K,); pooled features to the tower's own logits.
        words: (K, E) float32 unit-norm text features of the names.
    """

    weight: np.ndarray
    bias: np.ndarray
    words: np.ndarray

    def describe(self, features: np.ndarray) -> np.ndarray:
        """Pooled features (N, D) to unit-norm descriptions (N, E).

        Source: Norouzi et al. 2014 (ConSE), equation 2, over all classes.
        """
        return Head(self.operations())(features)

    def operations(self) -> tuple[Operation, ...]:
        """The same as operations of a head."""
        return (
            Operation("affine", {"weight": self.weight, "bias": self.bias}),
            Operation("softmax", {"temperature": np.ones((), dtype=np.float32)}),
            affine(np.ascontiguousarray(self.words.T)),
            Operation("l2_normalise"),
        )


@dataclass(frozen=True)
class Witnesses:
    """What zero-shot logits are made of.

    Attributes:
        embed: pooled features (N, D) of the CLIP model's tower to unit-norm embeddings (N, P).
        anchors: (C, P) unit-norm. logit_scale: of cosines, > 0.
        named: the image tower's own classes; None where it names none.
        prompts: (C, E) unit-norm anchors in the text tower's own space.
        widths: columns of each tower in stacked features, the CLIP model's first.
    """

    embed: tuple[Operation, ...]
    anchors: np.ndarray
    logit_scale: float
    named: NamedClasses | None
    prompts: np.ndarray
    widths: tuple[int, ...] = ()

    def describe(self, features: np.ndarray) -> np.ndarray:
        """`NamedClasses.describe`; where the tower names none, one nothing like another (N, E)."""
        if self.named is None:
            return np.zeros((len(features), self.prompts.shape[1]), dtype=np.float32)
        return self.named.describe(features)

    def head(
        self,
        names_weight: float = 0.0,
        class_bias: np.ndarray | None = None,
        single: bool = False,
    ) -> Head:
        """Pooled features to logits (N, C): scale · (cos + weight · cos of names) + bias.

        Args:
            class_bias: (C,). single: the features are the CLIP model's tower's alone.
        """
        bias = np.zeros(len(self.anchors)) if class_bias is None else class_bias
        clip = (*self.embed, affine(self.anchors * self.logit_scale, bias))
        several = len(self.widths) > 1 and not single
        first = (columns(0, self.widths[0]),) if several else ()
        if names_weight == 0.0 or self.named is None:
            return Head((*first, *clip))
        scaled = self.prompts * (self.logit_scale * names_weight)
        named = (*self.named.operations(), affine(scaled))
        return Head((*first, add(Head(clip), Head(named))))


def hubness(logits: np.ndarray) -> np.ndarray:
    """How much of everything each class draws: log mean exp of its logits over other photographs.

    Args:
        logits: (N, C) of photographs that have nothing to do with the classes.
    Returns: (C,) float64. Subtracting it makes the classes equally likely on those photographs
        one at a time, as the inverted softmax does.
    Source: Smith et al. 2017, section 2.3 (inverted softmax).
    """
    top = logits.max(axis=0)
    return np.asarray(top + np.log(np.exp(logits.astype(np.float64) - top).mean(axis=0)))


def named_classes(
    image_encoder: str, text_encoder: str, tokenize: TokenizeConfig
) -> NamedClasses | None:
    """The image tower's own 1,000 classes; each read as first name, all names, definition.

    None for a tower that does not tell ImageNet's classes apart.
    """
    if not image_towers.image_encoder(image_encoder).names_imagenet():
        return None
    weight, bias = imagenet_classifier(image_encoder)
    names = imagenet_names()
    forms = (
        [name.split(",")[0] for name in names],
        names,
        [f"{name}: {text}" for name, text in zip(names, imagenet_definitions(), strict=True)],
    )
    read = [unit_norm(encode_texts(form, text_encoder, tokenize, None)) for form in forms]
    words = unit_norm(np.mean(read, axis=0)).astype(np.float32)
    return NamedClasses(weight, bias, words)


def named_in(head: Head) -> NamedClasses | None:
    """The named classes that `Witnesses.head` built into a head; None where it built in none.

    The head of a study holds what took thousands of texts to read.
    """
    joined = head.operations[-1]
    if joined.kind != "sum":
        return None
    classifier, _, described, _, _ = joined.branches[1].operations
    words = np.ascontiguousarray(described.arrays["weight"].T)
    return NamedClasses(classifier.arrays["weight"], classifier.arrays["bias"], words)


def affine(weight: np.ndarray, bias: np.ndarray | None = None) -> Operation:
    """The map x Wᵀ + b as an operation, float32; without a bias, b = 0."""
    offset = np.zeros(len(weight)) if bias is None else bias
    arrays = {"weight": weight.astype(np.float32), "bias": offset.astype(np.float32)}
    return Operation("affine", arrays)


def columns(start: int, stop: int) -> Operation:
    """The columns from `start` up to `stop` as an operation."""
    bounds = {"start": start, "stop": stop}
    return Operation("columns", {k: np.asarray(v, dtype=np.float32) for k, v in bounds.items()})
