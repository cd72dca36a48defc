"""Retrieval recall with several captions an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np


class Embeds(Protocol):
    """Something that maps pooled features of both towers to one space."""

    def image_embeddings(self, features: np.ndarray) -> np.ndarray:
        """(N, D) to (N, P) unit-norm."""

    def text_embeddings(self, features: np.ndarray) -> np.ndarray:
        """(M, E) to (M, P) unit-norm."""


def recall_at_k(similarity: np.ndarray, owner: np.ndarray, k: int) -> float:
    """Share of captions whose own image is among their k nearest.

    Args:
        similarity: (M, N) float; row m scores caption m against every image.
        owner: (M,) int in [0, N); the image that caption m describes.
        k: 1 <= k <= N.
    Returns: share in [0, 1]. For [[.9, .1], [.8, .2]] with owner [0, 1], recall@1 is 0.5. An
        image that ties with the caption's own counts as nearer.
    Raises: ValueError: owner is not (M,), or k is outside 1..N.
    Source: Hodosh et al. 2013, section 4.
    """
    _check(similarity, owner, k)
    own = similarity[np.arange(len(owner)), owner][:, None]  # (M, 1)
    return float(((similarity >= own).sum(axis=1) <= k).mean())


def image_recall_at_k(similarity: np.ndarray, owner: np.ndarray, k: int) -> float:
    """Share of images that have a caption of their own among their k nearest captions.

    Args:
        similarity: (M, N) float; column n scores image n against every caption.
        owner: (M,) int in [0, N).
        k: 1 <= k.
    Returns: share in [0, 1], over images that own a caption. For [[.9, .1], [.8, .2], [.1, .7]]
        with owner [0, 1, 0], image recall@1 is 0.5.
    Raises: ValueError: owner is not (M,), or k is outside 1..M.
    """
    _check(similarity.T, owner, k, captions=len(similarity))
    mine = owner[:, None] == np.arange(similarity.shape[1])  # (M, N)
    best_own = np.where(mine, similarity, -np.inf).max(axis=0)  # (N,)
    nearer = ((similarity >= best_own) & ~mine).sum(axis=0)  # (N,) foreign captions as near
    return float((nearer < k)[mine.any(axis=0)].mean())


def retrieval_metrics(
    image_emb: np.ndarray, text_emb: np.ndarray, owner: np.ndarray
) -> dict[str, dict[str, float]]:
    """Recall at 1, 5 and 10, text to image and image to text.

    Args:
        image_emb: (N, D) unit-norm. text_emb: (M, D) unit-norm. owner: (M,) int in [0, N).
    Returns: `{"t2i": {"r1", "r5", "r10"}, "i2t": {…}}`; k is capped by what there is.
    """
    return retrieval_metrics_of(text_emb @ image_emb.T, owner)


def retrieval_metrics_of(similarity: np.ndarray, owner: np.ndarray) -> dict[str, dict[str, float]]:
    """The same from similarities (M, N) of captions with images."""
    captions, images = similarity.shape
    return {
        "t2i": {f"r{k}": recall_at_k(similarity, owner, min(k, images)) for k in (1, 5, 10)},
        "i2t": {
            f"r{k}": image_recall_at_k(similarity, owner, min(k, captions)) for k in (1, 5, 10)
        },
    }


def _check(similarity: np.ndarray, owner: np.ndarray, k: int, captions: int | None = None) -> None:
    rows, columns = similarity.shape
    wanted = rows if captions is None else captions
    if owner.shape != (wanted,):
        raise ValueError(f"owner has shape {owner.shape} for {wanted} captions")
    if not 1 <= k <= columns:
        raise ValueError(f"k is within 1..{columns}, got {k}")


def recall_columns(
    image: np.ndarray, text: np.ndarray, owner: np.ndarray
) -> Callable[[Embeds], dict[str, float]]:
    """A judge of projections: `validation_t2i_r1` … `validation_i2t_r10` on held-out pairs.

    Args:
        image: (N, D) pooled features. text: (M, E) pooled features. owner: (M,) int in [0, N).
    """

    def judge(projections: Embeds) -> dict[str, float]:
        return validation_row(
            projections.image_embeddings(image), projections.text_embeddings(text), owner
        )

    return judge


def validation_row(
    image_emb: np.ndarray, text_emb: np.ndarray, owner: np.ndarray
) -> dict[str, float]:
    """`validation_t2i_r1` … `validation_i2t_r10` of held-out pairs.

    Args:
        image_emb: (N, P) unit-norm. text_emb: (M, P) unit-norm. owner: (M,) int in [0, N).
    """
    return {
        f"validation_{way}_{name}": value
        for way, values in retrieval_metrics(image_emb, text_emb, owner).items()
        for name, value in values.items()
    }
