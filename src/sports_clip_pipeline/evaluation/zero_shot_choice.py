"""Two settings of zero-shot classification, chosen on held-out captions: no label has a say.

Retrieval is zero-shot classification with captions for classes. How much the image tower's own
class names count is chosen by how well captions find their images; how much of a text's hubness is
taken away, by how well images find their captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sports_clip_pipeline.clip.zero_shot import hubness
from sports_clip_pipeline.evaluation.retrieval import retrieval_metrics_of


@dataclass(frozen=True)
class Seen:
    """Images and captions as both witnesses see them; all rows have unit norm.

    Attributes:
        image_emb: (N, P). image_words: (N, E), the descriptions by class names.
        text_emb: (M, P). text_words: (M, E).
        owner: (M,) int; the image that caption m describes.
    """

    image_emb: np.ndarray
    image_words: np.ndarray
    text_emb: np.ndarray
    text_words: np.ndarray
    owner: np.ndarray

    def similarity(self, weight: float, images: Seen | None = None) -> np.ndarray:
        """(M, N) of every caption with every image, of its own or of others."""
        others = images or self
        joined = self.text_emb @ others.image_emb.T
        return joined + np.float32(weight) * (self.text_words @ others.image_words.T)


def choose_settings(
    validation: Seen,
    background: Seen,
    logit_scale: float,
    weights: Sequence[float],
    shares: Sequence[float],
) -> dict[str, Any]:
    """The weight of class names and the share of hubness to take away, with all that was tried.

    Args:
        background: of which the images alone are used, as photographs that no caption of the
            validation part describes.
        weights, shares: to choose from, ascending.
    Returns: `names_weight`: the one with the best mean text-to-image recall at 1, 5 and 10;
        `hubness_share`: the smallest whose mean image-to-text recall is within one standard error
        of the best; `tried`: rows of both.
    Source: Breiman et al. 1984, section 3.4.3 (the one-standard-error rule).
    """
    tried = []
    for weight in weights:
        recalls = retrieval_metrics_of(validation.similarity(weight), validation.owner)
        tried.append({"names_weight": weight, "hubness_share": 0.0, **_means(recalls)})
    best = max(tried, key=lambda row: row["t2i"])["names_weight"]
    similarity = validation.similarity(best)
    drawn = hubness(logit_scale * validation.similarity(best, background).T) / logit_scale  # (M,)
    by_share = []
    for share in shares:
        recalls = retrieval_metrics_of(similarity - share * drawn[:, None], validation.owner)
        by_share.append({"names_weight": best, "hubness_share": share, **_means(recalls)})
    top = max(row["i2t"] for row in by_share)
    error = float(np.sqrt(top * (1.0 - top) / similarity.shape[1]))
    share = next(row["hubness_share"] for row in by_share if row["i2t"] >= top - error)
    return {
        "names_weight": best,
        "hubness_share": share,
        "standard_error": error,
        "tried": [*tried, *by_share],
    }


def _means(recalls: dict[str, dict[str, float]]) -> dict[str, float]:
    return {way: float(np.mean(list(values.values()))) for way, values in recalls.items()}
