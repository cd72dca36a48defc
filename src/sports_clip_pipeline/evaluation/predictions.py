"""Test-set predictions: of all trials by method and fraction, of the predictor, as submission."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.encoders.features import additional_key, concat_features
from sports_clip_pipeline.io.fingerprint import fingerprint
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.predictor.predictor import Predictor
from sports_clip_pipeline.training.classification import pooled_image_features
from sports_clip_pipeline.training.images import images_of_split

_LOG = logging.getLogger(__name__)
_TOP = 5


@dataclass(frozen=True)
class TrialGroup:
    """Predictions of the trials of one method and label fraction, which differ in their seed.

    Attributes:
        seeds: (S,) ascending.
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
        """(S, N) bool; which seed is right on which image. `target` is (N,) int."""
        return self.predicted() == target[None, :]


def group_trials(
    trial_probabilities: Mapping[str, np.ndarray], target: np.ndarray
) -> dict[tuple[str, float], TrialGroup]:
    """Group the trials that differ in their seed alone.

    Args:
        trial_probabilities: (N, C) float by `TrialKey.name`, `<method>/<fraction>/<seed>`.
        target: (N,) int, the true classes.
    Returns: groups by (method, fraction), sorted.
    Raises: ValueError: a name of another form, or an array without a row for each target.
    """
    groups: dict[tuple[str, float], dict[int, np.ndarray]] = {}
    for name, array in trial_probabilities.items():
        try:
            method, fraction, seed = name.rsplit("/", 2)
            groups.setdefault((method, float(fraction)), {})[int(seed)] = array
        except ValueError as error:
            raise ValueError(f"a trial's name is method/fraction/seed, got {name!r}") from error
        if len(array) != len(target):
            raise ValueError(f"{name}: {len(array)} rows of probabilities, {len(target)} targets")
    return {
        key: TrialGroup(*key, tuple(sorted(arrays)), tuple(arrays[s] for s in sorted(arrays)))
        for key, arrays in sorted(groups.items())
    }


@dataclass(frozen=True)
class LabelledCorpus:
    """The labelled corpus; row i of everything belongs to the same image.

    Attributes:
        store: its images. manifest, splits: its tables.
        features: by the frozen encoders: `features`, and `additional_key(name)` for each other.
    """

    store: ImageStore
    manifest: pd.DataFrame
    splits: pd.DataFrame
    features: Mapping[str, np.ndarray]


def predict_split(
    predictor: Predictor, corpus: LabelledCorpus, split: str, state: RunState
) -> np.ndarray:
    """Probabilities (N, C) of the images of a split, in the order of `corpus.splits`.

    Features of frozen encoders are those of the corpus. Those of an encoder that was trained end
    to end are computed from the images once, and cached in `state`.
    """
    rows = (corpus.splits["split"] == split).to_numpy()
    arrays = {name: values[rows] for name, values in corpus.features.items()}
    first, *additional = (encoder.name for encoder in predictor.encoders)
    if first in additional:  # a trained copy of one of them, whose columns the corpus lacks
        arrays |= {additional_key(first): arrays["features"]}
        arrays["features"] = _trained_encoder_features(predictor, corpus, split, state)
    return predictor.predict_proba(concat_features(arrays, additional)[0])


def _trained_encoder_features(
    predictor: Predictor, corpus: LabelledCorpus, split: str, state: RunState
) -> np.ndarray:
    first = predictor.encoders[0]
    images = images_of_split(
        split, corpus.splits, corpus.store, corpus.manifest, first.preprocessing, state
    )
    weights = [item for pair in sorted(predictor.encoder_weights.items()) for item in pair]
    content = fingerprint(asdict(first), list(images.addresses), *weights)
    cached = state.load_state(f"shipped/{split}", content)
    if cached is not None:
        return cached[0]["features"]
    features = pooled_image_features(
        predictor.module().encoder, images.open(), first.preprocessing, first.views or ("full",)
    )
    state.save_state(f"shipped/{split}", content, {"features": features})
    return features


def predictions_table(
    zero_shot: pd.DataFrame, probabilities: np.ndarray, labels: Sequence[str]
) -> pd.DataFrame:
    """Zero-shot and fine-tuned predictions on the test images, side by side.

    Args:
        zero_shot: test rows of the zero-shot table, `probabilities` in the order of `labels`.
        probabilities: (N, C) of the fine-tuned classifier, in the same order.
    Returns: `image`, `label`, and of `zero_shot` and `finetuned` each `…_label`, `…_probability`,
        `…_top5` (list[str], the most probable first) and `…_top5_probabilities` (list[float32]);
        `finetuned_probabilities`.
    Raises: ValueError: the lengths differ.
    """
    if len(zero_shot) != len(probabilities):
        raise ValueError(f"{len(zero_shot)} zero-shot rows, {len(probabilities)} fine-tuned ones")
    zero_shot_probabilities = np.stack(zero_shot["probabilities"].to_list())  # (N, C)
    return pd.DataFrame(
        {
            "image": zero_shot["image"].to_numpy(),
            "label": zero_shot["label"].to_numpy(),
            **_top5_columns("zero_shot", zero_shot_probabilities, labels),
            **_top5_columns("finetuned", probabilities, labels),
            "finetuned_probabilities": list(probabilities.astype(np.float32)),
        }
    )


def _top5_columns(prefix: str, probabilities: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Columns of a classifier's top-5; the first of the classes that tie comes first."""
    names = np.asarray(labels, dtype=object)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :_TOP]  # (N, 5)
    best = np.take_along_axis(probabilities, order, axis=1).astype(np.float32)  # (N, 5)
    return {
        f"{prefix}_label": names[order[:, 0]],
        f"{prefix}_probability": probabilities.max(axis=1),
        f"{prefix}_top5": [list(row) for row in names[order]],
        f"{prefix}_top5_probabilities": list(best),
    }


def submission_table(
    order: pd.DataFrame, images: Sequence[str] | pd.Series, predicted: Any
) -> pd.DataFrame:
    """Submission `image,sports` in the order that the competition asks for.

    Args:
        order: column `image`, the rows to submit. images, predicted: (N,) images and labels.
    Returns: every row of `order` once. An image that could not be read has no prediction; it gets
        the most frequent label, as the competition requires one for each, and a warning is logged.
    """
    labels = pd.Series(list(predicted), index=list(images), dtype=object)
    missing = order.loc[~order["image"].isin(labels.index), "image"]
    if len(missing):
        _LOG.warning(
            "%d test images could not be read (%s first): they get the most frequent label",
            len(missing), missing.iloc[0],
        )  # fmt: skip
        labels = pd.concat([labels, pd.Series(labels.mode().iloc[0], index=list(missing))])
    return pd.DataFrame(
        {"image": order["image"].to_numpy(), "sports": labels.loc[order["image"]].to_numpy()}
    )
