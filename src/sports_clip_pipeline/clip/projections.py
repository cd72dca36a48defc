"""Projection heads from pooled features to the shared space, as arrays and as torch modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.predictor.head import Head, Operation, add, affine

_LEAST_NORM = 1e-12


def unit_norm(values: np.ndarray) -> np.ndarray:
    """(…, P) float with each row divided by its Euclidean norm; rows of zeros stay zeros.

    >>> unit_norm(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    norms = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.maximum(norms, _LEAST_NORM)


IMAGE, TEXT = "visual.head.", "text.proj."


@dataclass(frozen=True)
class Projections:
    """The maps from pooled features to the shared space, and the scale of cosines.

    Attributes:
        image_weight: (P, D) float32; pooled image features to the shared space.
        image_bias: (P,) float32.
        text_weight: (P, E) float32; pooled text features to the shared space.
        logit_scale: logarithm of the scale of cosines.
        logit_bias: what is added to the scaled cosines, of a model trained with SigLIP's loss; None
            for others. It changes no ranking.
        text_bias: (P,) float32; None for none.
        image_body, text_body: operations before those maps; D and E are the columns they give.
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
        """Whether nothing stands before the linear maps."""
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
        return unit_norm(
            Head((*self.text_body, affine(self.text_weight, self.text_bias)))(features)
        )


def projections_of(state: Mapping[str, np.ndarray], own_width: int = 0) -> Projections:
    """The projections in a CLIP model's state dict: linear ones, or the 2022 notebook's.

    Args:
        own_width: of the space that encoders without projections of ours end in; 0 for others.
    Raises: KeyError: an entry is missing.
    """
    scale = float(state["logit_scale"])
    bias = float(state["logit_bias"]) if "logit_bias" in state else None
    if own_width:
        return identity_projections(own_width, scale, bias)
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
    """Of encoders that end in the shared space by themselves."""
    same, nothing = np.eye(width, dtype=np.float32), np.zeros(width, dtype=np.float32)
    return Projections(same, nothing, same, logit_scale, logit_bias)


def state_of(projections: Projections, own_width: int = 0) -> dict[str, np.ndarray]:
    """The inverse of `projections_of`."""
    state = {"logit_scale": np.asarray(projections.logit_scale, dtype=np.float32)}
    if projections.logit_bias is not None:
        state["logit_bias"] = np.asarray(projections.logit_bias, dtype=np.float32)
    if own_width:
        return state
    if projections.linear:
        state[f"{IMAGE}proj.weight"] = projections.image_weight
        state[f"{IMAGE}proj.bias"] = projections.image_bias
        state[f"{TEXT}weight"] = projections.text_weight
        return state
    assert projections.text_bias is not None
    sides = (
        (IMAGE, projections.image_body, projections.image_weight, projections.image_bias),
        (TEXT, projections.text_body, projections.text_weight, projections.text_bias),
    )
    for prefix, body, weight, bias in sides:
        first, residual, _ = body
        second = residual.branches[1].operations[1]
        for name, layer in (("projection", first), ("fc", second)):
            state |= {f"{prefix}{name}.{key}": value for key, value in layer.arrays.items()}
        state[f"{prefix}layer_norm.weight"] = np.diag(weight).copy()
        state[f"{prefix}layer_norm.bias"] = bias
    return state


def _notebook_body(state: Mapping[str, np.ndarray], prefix: str) -> tuple[Operation, ...]:
    """What stands before the layer norm's own scale and shift (`NotebookHead`)."""
    layers = [
        affine(state[f"{prefix}{name}.weight"], state[f"{prefix}{name}.bias"])
        for name in ("projection", "fc")
    ]
    residual = add(Head(()), Head((Operation("gelu"), layers[1])))
    return layers[0], residual, Operation("layer_norm")


NOTEBOOK_DROPOUT = 0.1


class NotebookHead(nn.Module):
    """The 2022 notebook's projection head: two layers around a residual, and a layer norm.

    Source: Shariatnia 2021 (Simple CLIP), `ProjectionHead`, which the notebook follows.
    """

    def __init__(self, width: int, embed_dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, embed_dim)
        self.fc = nn.Linear(embed_dim, embed_dim)
        self.dropout = nn.Dropout(NOTEBOOK_DROPOUT)
        self.layer_norm = nn.LayerNorm(embed_dim)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, P)."""
        projected = self.projection(features)
        deeper = self.dropout(self.fc(functional.gelu(projected)))
        normed: torch.Tensor = self.layer_norm(projected + deeper)
        return normed


def build_head(kind: str, width: int, embed_dim: int, bias: bool) -> nn.Module:
    """A projection by the name that `pretrain.projections` gives it.

    Args:
        bias: of a linear one.
    """
    if kind == "notebook":
        return NotebookHead(width, embed_dim)
    return nn.Linear(width, embed_dim, bias=bias)


def first_layer(head: Any) -> nn.Linear:
    """The layer that sees the features."""
    layer: nn.Linear = head if isinstance(head, nn.Linear) else head.projection
    return layer
