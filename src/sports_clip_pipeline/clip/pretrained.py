"""What a few-shot classifier starts from: zero-shot weights, projection and feature spaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sports_clip_pipeline.predictor.head import Head, Operation, affine


@dataclass(frozen=True)
class Pretrained:
    """What is known before the first label: zero-shot weights, image projection, feature spaces.

    Attributes:
        zero_shot_weights: (C, P) float32 unit-norm text embeddings, one a class.
        logit_scale: scale of cosines, > 0.
        image_weight: (P, D₀) projection of the first encoder's features. image_bias: (P,).
        image_body: operations on those features before it.
        widths: columns of each encoder in the features; empty where there is one encoder.
        zero_shot: features (N, D) to zero-shot logits (N, C); None for cosines to the weights.
        space: what `scaled` returns: `first_encoder`, `all_encoders` or `clip` (embeddings).
    """

    zero_shot_weights: np.ndarray
    logit_scale: float
    image_weight: np.ndarray
    image_bias: np.ndarray
    widths: tuple[int, ...] = ()
    zero_shot: Head | None = None
    image_body: tuple[Operation, ...] = ()
    space: str = "first_encoder"

    def embed(self) -> tuple[Operation, ...]:
        """Pooled features to unit-norm image embeddings, as operations of a head."""
        mapped = (*self.image_body, affine(self.image_weight, self.image_bias))
        return (*self._first(), *mapped, Operation("l2_normalise"))

    def scaled(self, root: bool = False) -> tuple[Operation, ...]:
        """Pooled features to unit-norm rows of the method's feature space.

        Args:
            root: take the square root first (Hellinger map); pooled features only, which are
                non-negative. Source: Arandjelović and Zisserman 2012.
        """
        if self.space == "clip":
            return self.embed()
        if self.space == "first_encoder":
            return (*self._first(), *normalise_features((), root))
        return normalise_features(self.widths, root)

    def raw(self) -> tuple[Operation, ...]:
        """Pooled features to the unscaled columns of the method's feature space."""
        if self.space == "clip":
            return self.embed()
        return self._first() if self.space == "first_encoder" else ()

    def zero_shot_head(self) -> Head:
        """Features (N, D) to zero-shot logits (N, C)."""
        if self.zero_shot is not None:
            return self.zero_shot
        weight = self.zero_shot_weights * self.logit_scale
        return Head((*self.embed(), affine(weight)))

    def _first(self) -> tuple[Operation, ...]:
        """The first encoder's columns, where there are others."""
        if len(self.widths) < 2:
            return ()
        stop = np.asarray(self.widths[0], dtype=np.float32)
        return (Operation("columns", {"start": np.zeros_like(stop), "stop": stop}),)


def normalise_features(widths: tuple[int, ...], root: bool = False) -> tuple[Operation, ...]:
    """Concatenated features to unit-norm rows in which each encoder has an equal share.

    Args:
        widths: columns of each encoder; fewer than two for one encoder. root: see `scaled`.
    """
    exponent = {"exponent": np.asarray(0.5, dtype=np.float32)}
    power = (Operation("power", exponent),) if root else ()
    if len(widths) < 2:
        return (*power, Operation("l2_normalise"))
    blocks = {"widths": np.asarray(widths, dtype=np.float32)}
    return (*power, Operation("blocks_l2_normalise", blocks))
