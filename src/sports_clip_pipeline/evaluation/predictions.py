"""Tables of predictions: on the evaluation part, and the submissions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


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
    order: pd.DataFrame, images: Sequence[str], predicted: Sequence[str]
) -> pd.DataFrame:
    """`image,sports` in the order the competition asks for.

    Args:
        order: one column `image`, the rows wanted. images, predicted: (N,) what there is.
    Raises: ValueError: an image that is wanted has no prediction.
    """
    answer = pd.Series(list(predicted), index=list(images))
    missing = order.loc[~order["image"].isin(answer.index), "image"]
    if len(missing):
        raise ValueError(f"{len(missing)} wanted images have no prediction, {missing.iloc[0]!r} first")
    return pd.DataFrame(
        {"image": order["image"].to_numpy(), "sports": answer.loc[order["image"]].to_numpy()}
    )
