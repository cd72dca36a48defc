"""Predictions of the shipped predictor on the test split, as a table."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.encoders.feature_store import additional_key
from sports_clip_pipeline.io.fingerprint import fingerprint
from sports_clip_pipeline.io.state import Journal
from sports_clip_pipeline.predictor.predictor import Predictor
from sports_clip_pipeline.training.classification import pooled_image_features
from sports_clip_pipeline.training.images import images_of_split

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


@dataclass(frozen=True)
class Point:
    """The answers of one method at one fraction.

    Attributes:
        method: its name.
        fraction: of the development labels.
        seeds: (S,) of its arms, ascending.
        probabilities: S arrays (N, C) of calibrated probabilities, in the order of `seeds`.
    """

    method: str
    fraction: float
    seeds: tuple[int, ...]
    probabilities: tuple[np.ndarray, ...]

    def predicted(self) -> np.ndarray:
        """(S, N) int; the most probable class, the first of those that tie."""
        return np.stack([array.argmax(axis=1) for array in self.probabilities])

    def correct(self, target: np.ndarray) -> np.ndarray:
        """(S, N) bool; which arm was right on which photograph. `target` is (N,) int."""
        return self.predicted() == target[None, :]

    def of_seeds(self, seeds: tuple[int, ...]) -> Point:
        """The same point with some of its seeds."""
        arrays = tuple(self.probabilities[self.seeds.index(seed)] for seed in seeds)
        return Point(self.method, self.fraction, seeds, arrays)


def arm_key(method: str, fraction: float, seed: int) -> str:
    """The name of an arm's probabilities: `<method>/<fraction>/<seed>`."""
    return f"{method}/{fraction:g}/{seed}"


def points_of(
    trial_probabilities: Mapping[str, np.ndarray], target: np.ndarray
) -> dict[tuple[str, float], Point]:
    """Group arms that differ in their seed alone.

    Args:
        trial_probabilities: (N, C) float by `<method>/<fraction>/<seed>`.
        target: (N,) int, the true classes.
    Returns: points by (method, fraction), sorted.
    Raises: ValueError: a name of another form, or an array without a row for each target.
    """
    groups: dict[tuple[str, float], dict[int, np.ndarray]] = {}
    for key, array in trial_probabilities.items():
        try:
            method, fraction, seed = key.rsplit("/", 2)
            place, number = (method, float(fraction)), int(seed)
        except ValueError as error:
            raise ValueError(f"an arm is method/fraction/seed, got {key!r}") from error
        if len(array) != len(target):
            raise ValueError(f"{key}: {len(array)} rows of probabilities, {len(target)} targets")
        groups.setdefault(place, {})[number] = array
    return {
        place: Point(*place, tuple(sorted(arms)), tuple(arms[seed] for seed in sorted(arms)))
        for place, arms in sorted(groups.items())
    }


@dataclass(frozen=True)
class Corpus:
    """One labelled corpus; row i of everything speaks of the same photograph.

    Attributes:
        store: its photographs. manifest, splits: its tables.
        features: of its photographs by the frozen towers, `features` and `additional.<encoder>`.
    """

    store: ImageStore
    manifest: pd.DataFrame
    splits: pd.DataFrame
    features: Mapping[str, np.ndarray]


def predict_rows(predictor: Predictor, corpus: Corpus, part: str, journal: Journal) -> np.ndarray:
    """Probabilities (N, C) of a part's photographs, in the order of the splits.

    What frozen towers see stands in the corpus's features. A tower that the study trained looks at
    the photographs themselves, once: the journal keeps what it saw.
    """
    rows = (corpus.splits["split"] == part).to_numpy()
    arrays = {name: values[rows] for name, values in corpus.features.items()}
    if predictor.has_frozen_copy:
        arrays |= {additional_key(predictor.image_encoder): arrays["features"]}
        arrays["features"] = _seen(predictor, corpus, part, journal)
    return predictor.predict_proba(predictor.stack(arrays))


def _seen(predictor: Predictor, corpus: Corpus, part: str, journal: Journal) -> np.ndarray:
    """Pooled features (N, D) of the trained tower."""
    first = predictor.encoders[0]
    images = images_of_split(
        part, corpus.splits, corpus.store, corpus.manifest, first.preprocessing, journal
    )
    weights = [item for pair in sorted(predictor.encoder_weights.items()) for item in pair]
    mark = fingerprint(first.to_dict(), list(images.addresses), *weights)
    kept = journal.load_state(f"shipped/{part}", mark)
    if kept is not None:
        return kept[0]["features"]
    views = first.views or ("full",)
    features = pooled_image_features(
        predictor.module().encoder, images.open(), first.preprocessing, views
    )
    journal.save_state(f"shipped/{part}", mark, {"features": features})
    return features
