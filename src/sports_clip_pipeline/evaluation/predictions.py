"""Tables of predictions: on the evaluation part, and the submissions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

_LOG = logging.getLogger(__name__)
ANSWERS = 5


def evaluation_table(
    zero_shot: pd.DataFrame, probabilities: np.ndarray, labels: Sequence[str]
) -> pd.DataFrame:
    """Zero-shot and fine-tuned answers side by side.

    Args:
        zero_shot: the evaluation rows of the zero-shot table, `probabilities` in the order of
            `labels`.
        probabilities: (N, C) of the fine-tuned classifier, in the same order.
    Returns: `image`, `label`, and of `zero_shot` and `finetuned` each `…_label`, `…_probability`,
        `…_top5` (list[str], the most probable first, all of them where there are fewer) and
        `…_top5_probabilities` (list[float32], theirs); `finetuned_probabilities`.
    Raises: ValueError: the lengths differ.
    """
    if len(zero_shot) != len(probabilities):
        raise ValueError(f"{len(zero_shot)} zero-shot rows, {len(probabilities)} fine-tuned ones")
    before = np.stack(zero_shot["probabilities"].to_list())  # (N, C)
    return pd.DataFrame(
        {
            "image": zero_shot["image"].to_numpy(),
            "label": zero_shot["label"].to_numpy(),
            **_answers("zero_shot", before, labels),
            **_answers("finetuned", probabilities, labels),
            "finetuned_probabilities": list(probabilities.astype(np.float32)),
        }
    )


def _answers(whose: str, probabilities: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Columns of what a classifier answers; the first of the classes that tie comes first."""
    names = np.asarray(labels, dtype=object)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :ANSWERS]  # (N, 5)
    best = np.take_along_axis(probabilities, order, axis=1).astype(np.float32)  # (N, 5)
    return {
        f"{whose}_label": names[order[:, 0]],
        f"{whose}_probability": probabilities.max(axis=1),
        f"{whose}_top5": [list(row) for row in names[order]],
        f"{whose}_top5_probabilities": list(best),
    }


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
