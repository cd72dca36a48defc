"""Zero-shot classification: cosine to one text anchor a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.evaluation.classification import classification_report
from sports_clip_pipeline.evaluation.intervals import bootstrap_interval
from sports_clip_pipeline.models.head import softmax


def zero_shot_table(
    image_emb: np.ndarray,
    text_anchors: Mapping[str, np.ndarray],
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    labels: Sequence[str],
) -> pd.DataFrame:
    """Probabilities of every photograph.

    Args:
        image_emb: (N, P) unit-norm, in manifest order.
        text_anchors: `anchors` (C, P) unit-norm and `logit_scale` (1,), in the order of `labels`.
        splits: `image`, `part`, `label`.
    Returns: `image`, `part`, `label`, `predicted`, `probability`, `probabilities`; in the order
        of `splits`.
    Source: Radford et al. 2021, section 3.1.
    """
    row_of = pd.Series(np.arange(len(manifest)), index=manifest["image"])
    rows = row_of.loc[splits["image"]].to_numpy()
    logits = text_anchors["logit_scale"][0] * image_emb[rows] @ text_anchors["anchors"].T  # (N, C)
    probabilities = softmax(logits)
    best = probabilities.argmax(axis=1)
    return pd.DataFrame(
        {
            "image": splits["image"].to_numpy(),
            "part": splits["part"].to_numpy(),
            "label": splits["label"].to_numpy(),
            "predicted": np.asarray(labels, dtype=object)[best],
            "probability": probabilities[np.arange(len(best)), best],
            "probabilities": list(probabilities.astype(np.float32)),
        }
    )


def score_table(
    predictions: pd.DataFrame, labels: Sequence[str], resamples: int, seed: int
) -> dict[str, Any]:
    """The report of a predictions table on the evaluation part, with an interval for top-1."""
    evaluation = predictions[predictions["part"] == "evaluation"]
    target = encode_labels(evaluation["label"], labels)
    probabilities = np.stack(evaluation["probabilities"].to_list()).astype(np.float64)
    report = classification_report(probabilities, target, labels)
    correct = (probabilities.argmax(axis=1) == target)[None, :]
    return {**report, "top1_ci95": list(bootstrap_interval(correct, seed, resamples))}


def encode_labels(column: pd.Series, labels: Sequence[str]) -> np.ndarray:
    """Labels as positions in `labels`, (N,) int64. Raises: ValueError: a label is not listed."""
    codes = pd.Index(labels).get_indexer(pd.Index(column))
    if (codes < 0).any():
        raise ValueError(
            f"label {column.iloc[int((codes < 0).argmax())]!r} is not in the class bank"
        )
    return codes.astype(np.int64)
