"""Retrieval recall with several captions an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

_AT_ONCE = 1 << 24  # similarities


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
    return _share_within(k, _ranks(lambda part: similarity[part], owner, similarity.shape[1])[0])


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
    return _share_within(k, _ranks(lambda part: similarity[part], owner, similarity.shape[1])[1])


def retrieval_metrics(
    image_emb: np.ndarray, text_emb: np.ndarray, owner: np.ndarray
) -> dict[str, dict[str, float]]:
    """Recall at 1, 5 and 10, text to image and image to text.

    Args:
        image_emb: (N, D) unit-norm. text_emb: (M, D) unit-norm. owner: (M,) int in [0, N).
    Returns: `{"t2i": {"r1", "r5", "r10"}, "i2t": {…}}`; k is capped by what there is.
    """
    return _metrics(lambda part: text_emb[part] @ image_emb.T, owner, len(image_emb))


def retrieval_metrics_of(similarity: np.ndarray, owner: np.ndarray) -> dict[str, dict[str, float]]:
    """The same from similarities (M, N) of captions with images."""
    return _metrics(lambda part: similarity[part], owner, similarity.shape[1])


def _metrics(
    similarity_of: Callable[[slice], np.ndarray], owner: np.ndarray, images: int
) -> dict[str, dict[str, float]]:
    caption_ranks, image_ranks = _ranks(similarity_of, owner, images)
    return {
        "t2i": {f"r{k}": _share_within(min(k, images), caption_ranks) for k in (1, 5, 10)},
        "i2t": {f"r{k}": _share_within(min(k, len(owner)), image_ranks) for k in (1, 5, 10)},
    }


def _ranks(
    similarity_of: Callable[[slice], np.ndarray], owner: np.ndarray, images: int
) -> tuple[np.ndarray, np.ndarray]:
    """At which rank a caption finds its image (M,), and an image its first caption.

    Ranks begin with 1. Images without a caption are left out. Similarities are looked at in blocks
    of captions, twice, so that they need not all be there at once.

    Args:
        similarity_of: similarities (B, N) of a slice of the captions with all images.
    """
    rows = max(1, _AT_ONCE // images)
    parts = [slice(start, start + rows) for start in range(0, len(owner), rows)]
    caption_ranks = np.empty(len(owner), np.int64)
    best_own = np.full(images, -np.inf)
    for part in parts:
        similarity, mine = similarity_of(part), owner[part]
        own = similarity[np.arange(len(mine)), mine]
        caption_ranks[part] = (~(similarity < own[:, None])).sum(axis=1)  # also beyond NaN
        with np.errstate(invalid="ignore"):
            np.maximum.at(best_own, mine, own)
    nearer = np.zeros(images, np.int64)  # foreign captions as near as an image's best own one
    for part in parts:
        foreign = owner[part][:, None] != np.arange(images)
        nearer += (~(similarity_of(part) < best_own) & foreign).sum(axis=0)
    return caption_ranks, 1 + nearer[np.bincount(owner, minlength=images) > 0]


def _share_within(k: int, ranks: np.ndarray) -> float:
    return float((ranks <= k).mean())


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
