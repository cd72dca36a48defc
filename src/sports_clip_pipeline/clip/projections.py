"""Projection heads of CLIP, and the pretrained feature spaces that few-shot methods start from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.predictor.head import Head, Operation, add, affine, columns

IMAGE, TEXT = "visual.head.", "text.proj."


def unit_norm(values: np.ndarray) -> np.ndarray:
    """(…, P) float with rows divided by their Euclidean norm; rows of zeros stay zeros."""
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class Projections:
    """Maps from pooled features to the shared space, and the scale of cosines.

    Attributes:
        image_weight: (P, D) float32. image_bias: (P,) float32.
        text_weight: (P, E) float32. text_bias: (P,) float32; None for none.
        logit_scale: logarithm of the scale of cosines.
        logit_bias: added to the scaled cosines, of a model trained with SigLIP's loss; else None.
        image_body, text_body: operations before those maps; D and E are their output columns.
    """

    image_weight: np.ndarray
    image_bias: np.ndarray
    text_weight: np.ndarray
    logit_scale: float
    logit_bias: float | None = None
    text_bias: np.ndarray | None = None
    image_body: tuple[Operation, ...] = ()
    text_body: tuple[Operation, ...] = ()

    @property
    def linear(self) -> bool:
        """Whether both projections are linear."""
        return not (self.image_body or self.text_body)

    def image_operations(self) -> tuple[Operation, ...]:
        """Pooled image features (N, D) to the shared space (N, P), before unit norm."""
        return (*self.image_body, affine(self.image_weight, self.image_bias))

    def image_embeddings(self, features: np.ndarray) -> np.ndarray:
        """(N, D) pooled image features to (N, P) unit-norm."""
        return unit_norm(Head(self.image_operations())(features))

    def text_embeddings(self, features: np.ndarray) -> np.ndarray:
        """(M, E) pooled text features to (M, P) unit-norm."""
        if self.text_bias is None:
            return unit_norm(Head(self.text_body)(features) @ self.text_weight.T)
        operations = (*self.text_body, affine(self.text_weight, self.text_bias))
        return unit_norm(Head(operations)(features))


def projections_of(state: Mapping[str, np.ndarray], pair_width: int = 0) -> Projections:
    """The projections in a CLIP model's state dict, linear or those of the 2022 notebook.

    Args:
        pair_width: embedding width of an open_clip pair, which has its projections inside; else 0.
    Raises: KeyError: an entry is missing.
    """
    scale = float(state["logit_scale"])
    bias = float(state["logit_bias"]) if "logit_bias" in state else None
    if pair_width:
        return identity_projections(pair_width, scale, bias)
    if f"{IMAGE}layer_norm.weight" not in state:
        weights = state[f"{IMAGE}proj.weight"], state[f"{IMAGE}proj.bias"], state[f"{TEXT}weight"]
        return Projections(*weights, scale, bias)
    return Projections(
        image_weight=np.diag(state[f"{IMAGE}layer_norm.weight"]),
        image_bias=state[f"{IMAGE}layer_norm.bias"],
        text_weight=np.diag(state[f"{TEXT}layer_norm.weight"]),
        logit_scale=scale,
        logit_bias=bias,
        text_bias=state[f"{TEXT}layer_norm.bias"],
        image_body=_notebook_body(state, IMAGE),
        text_body=_notebook_body(state, TEXT),
    )


def identity_projections(width: int, logit_scale: float, logit_bias: float | None) -> Projections:
    """Projections of an open_clip pair, whose pooled features are in the shared space."""
    identity, zeros = np.eye(width, dtype=np.float32), np.zeros(width, dtype=np.float32)
    return Projections(identity, zeros, identity, logit_scale, logit_bias)


def state_of(projections: Projections) -> dict[str, np.ndarray]:
    """The inverse of `projections_of`, of projections that are trained."""
    state = {"logit_scale": np.asarray(projections.logit_scale, dtype=np.float32)}
    if projections.logit_bias is not None:
        state["logit_bias"] = np.asarray(projections.logit_bias, dtype=np.float32)
    if projections.linear:
        state[f"{IMAGE}proj.weight"] = projections.image_weight
        state[f"{IMAGE}proj.bias"] = projections.image_bias
        state[f"{TEXT}weight"] = projections.text_weight
        return state
    assert projections.text_bias is not None
    for prefix, body, weight, bias in (
        (IMAGE, projections.image_body, projections.image_weight, projections.image_bias),
        (TEXT, projections.text_body, projections.text_weight, projections.text_bias),
    ):
        first, residual, _ = body
        second = residual.branches[1].operations[1]
        for name, layer in (("projection", first), ("fc", second)):
            state |= {f"{prefix}{name}.{key}": value for key, value in layer.arrays.items()}
        state[f"{prefix}layer_norm.weight"] = np.diag(weight).copy()
        state[f"{prefix}layer_norm.bias"] = bias
    return state


def _notebook_body(state: Mapping[str, np.ndarray], prefix: str) -> tuple[Operation, ...]:
    """`NotebookHead` up to the layer norm's scale and shift."""
    first, second = (
        affine(state[f"{prefix}{name}.weight"], state[f"{prefix}{name}.bias"])
        for name in ("projection", "fc")
    )
    residual = add(Head(()), Head((Operation("gelu"), second)))
    return first, residual, Operation("layer_norm")


class NotebookHead(nn.Module):
    """The 2022 notebook's projection head: two layers around a residual, and a layer norm.

    Source: Shariatnia 2021 (Simple CLIP), `ProjectionHead`, which the notebook follows.
    """

    def __init__(self, width: int, embed_dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, embed_dim)
        self.fc = nn.Linear(embed_dim, embed_dim)
        self.dropout = nn.Dropout(0.1)
        self.layer_norm = nn.LayerNorm(embed_dim)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, P)."""
        projected = self.projection(features)
        deeper = self.dropout(self.fc(functional.gelu(projected)))
        return self.layer_norm(projected + deeper)


def build_head(kind: str, width: int, embed_dim: int, bias: bool) -> nn.Module:
    """A projection head by its name in `pretrain.projections`; `bias` is that of a linear one."""
    if kind == "notebook":
        return NotebookHead(width, embed_dim)
    return nn.Linear(width, embed_dim, bias=bias)


def first_layer(head: Any) -> nn.Linear:
    """The linear layer on the features."""
    return head if isinstance(head, nn.Linear) else head.projection


@dataclass(frozen=True)
class Pretrained:
    """What few-shot methods start from: zero-shot weights, image projection, feature spaces.

    Attributes:
        zero_shot_weights: (C, P) float32 unit-norm text embeddings, one a class.
        logit_scale: scale of cosines, > 0.
        image_weight: (P, D₀) projection of the first encoder's features. image_bias: (P,).
        image_body: operations before that projection.
        widths: columns of each encoder in the features; empty for one encoder.
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
        projection = affine(self.image_weight, self.image_bias)
        return (*self._first(), *self.image_body, projection, Operation("l2_normalise"))

    def scaled(self, root: bool = False) -> tuple[Operation, ...]:
        """Pooled features to unit-norm rows of the method's feature space.

        Args:
            root: take the square root first (Hellinger map), for non-negative pooled features.
                Source: Arandjelović and Zisserman 2012.
        """
        if self.space == "clip":
            return self.embed()
        widths = () if self.space == "first_encoder" else self.widths
        return (*self.raw(), *normalise_features(widths, root))

    def raw(self) -> tuple[Operation, ...]:
        """Pooled features to the unscaled columns of the method's feature space."""
        if self.space == "clip":
            return self.embed()
        return self._first() if self.space == "first_encoder" else ()

    def zero_shot_head(self) -> Head:
        """Features (N, D) to zero-shot logits (N, C)."""
        if self.zero_shot is not None:
            return self.zero_shot
        return Head((*self.embed(), affine(self.zero_shot_weights * self.logit_scale)))

    def _first(self) -> tuple[Operation, ...]:
        """Selects the first encoder's columns if there are others."""
        return (columns(0, self.widths[0]),) if len(self.widths) > 1 else ()


def normalise_features(widths: tuple[int, ...], root: bool = False) -> tuple[Operation, ...]:
    """Concatenated features to unit-norm rows in which all encoders have equal norms.

    Args:
        widths: columns of each encoder; fewer than two for one encoder. root: see `scaled`.
    """
    exponent = {"exponent": np.asarray(0.5, dtype=np.float32)}
    power = (Operation("power", exponent),) if root else ()
    if len(widths) < 2:
        return (*power, Operation("l2_normalise"))
    blocks = {"widths": np.asarray(widths, dtype=np.float32)}
    return (*power, Operation("blocks_l2_normalise", blocks))
