"""What the shipped classifier says of a part of the study's photographs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sports_clip_pipeline.corpora.store import ImageStore
from sports_clip_pipeline.journal import Journal, fingerprint
from sports_clip_pipeline.models.predictor import Predictor
from sports_clip_pipeline.models.stacking import companion_key
from sports_clip_pipeline.training.pixels.classifier import pooled_squares
from sports_clip_pipeline.training.pixels.parts import squares_of_part


@dataclass(frozen=True)
class Corpus:
    """One labelled corpus; row i of everything speaks of the same photograph.

    Attributes:
        store: its photographs. manifest, splits: its tables.
        features: of its photographs by the frozen towers, `features` and `companion.<tower>`.
    """

    store: ImageStore
    manifest: pd.DataFrame
    splits: pd.DataFrame
    features: Mapping[str, np.ndarray]


def answers_of(predictor: Predictor, corpus: Corpus, part: str, journal: Journal) -> np.ndarray:
    """Probabilities (N, C) of a part's photographs, in the order of the splits.

    What frozen towers see stands in the corpus's features. A tower that the study trained looks at
    the photographs themselves, once: the journal keeps what it saw.
    """
    rows = (corpus.splits["split"] == part).to_numpy()
    arrays = {name: values[rows] for name, values in corpus.features.items()}
    if predictor.trained_apart:
        arrays |= {companion_key(predictor.tower): arrays["features"]}
        arrays["features"] = _seen(predictor, corpus, part, journal)
    return predictor.predict_proba(predictor.stack(arrays))


def _seen(predictor: Predictor, corpus: Corpus, part: str, journal: Journal) -> np.ndarray:
    """Pooled features (N, D) of the trained tower."""
    first = predictor.towers[0]
    squares = squares_of_part(
        part, corpus.splits, corpus.store, corpus.manifest, first.preprocessing, journal
    )
    weights = [item for pair in sorted(predictor.tower_weights.items()) for item in pair]
    mark = fingerprint(first.to_dict(), list(squares.addresses), *weights)
    kept = journal.load_state(f"shipped/{part}", mark)
    if kept is not None:
        return kept[0]["features"]
    views = first.views or ("full",)
    features = pooled_squares(predictor.module(), squares.open(), first.preprocessing, views)
    journal.save_state(f"shipped/{part}", mark, {"features": features})
    return features
