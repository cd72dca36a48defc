"""Tables of predictions: on the evaluation part, and the submissions."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

_LOG = logging.getLogger(__name__)


def evaluation_table(
    zero_shot: pd.DataFrame, probabilities: np.ndarray, labels: Sequence[str]
) -> pd.DataFrame:
    """Zero-shot and fine-tuned answers side by side.

    Args:
        zero_shot: the evaluation rows of the zero-shot table.
        probabilities: (N, C) of the fine-tuned classifier, in the same order.
    Returns: `image`, `label`, `zero_shot_label`, `zero_shot_probability`, `finetuned_label`,
        `finetuned_probability`, `finetuned_probabilities`, `finetuned_top5`.
    Raises: ValueError: the lengths differ.
    """
    if len(zero_shot) != len(probabilities):
        raise ValueError(f"{len(zero_shot)} zero-shot rows, {len(probabilities)} fine-tuned ones")
    names = np.asarray(labels, dtype=object)
    order = np.argsort(-probabilities, axis=1, kind="stable")  # (N, C)
    return pd.DataFrame(
        {
            "image": zero_shot["image"].to_numpy(),
            "label": zero_shot["label"].to_numpy(),
            "zero_shot_label": zero_shot["predicted"].to_numpy(),
            "zero_shot_probability": zero_shot["probability"].to_numpy(),
            "finetuned_label": names[order[:, 0]],
            "finetuned_probability": probabilities.max(axis=1),
            "finetuned_probabilities": list(probabilities.astype(np.float32)),
            "finetuned_top5": [list(row) for row in names[order[:, :5]]],
        }
    )


def submission_table(
    order: pd.DataFrame, images: pd.Series, predicted: pd.Series | np.ndarray
) -> pd.DataFrame:
    """`image,sports` in the order the competition asks for.

    Args:
        order: one column `image`, the rows wanted. images, predicted: (N,) what there is.
    Returns: every wanted row once. A photograph that could not be read has no prediction; it
        gets the most frequent one, as the competition wants an answer for each, and a line is
        logged.
    """
    answer = pd.Series(list(predicted), index=list(images), dtype=object)
    wanted = order["image"]
    missing = wanted[~wanted.isin(answer.index)]
    if len(missing):
        _LOG.warning(
            "%d test photographs could not be read (%s first): they get the most frequent answer",
            len(missing), missing.iloc[0],
        )  # fmt: skip
        answer = pd.concat([answer, pd.Series(answer.mode().iloc[0], index=list(missing))])
    return pd.DataFrame({"image": wanted.to_numpy(), "sports": answer.loc[wanted].to_numpy()})
