"""Pandera schemas of the tables, which the catalog validates on save and on load."""

from collections.abc import Sized
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series

_SHA256 = r"^[0-9a-f]{64}$"
_CORPORA = ("flickr8k", "sports")
_SPLITS = ("train", "validation", "test")
_PROBABILITY = {"min_value": 0, "max_value": 1 + 1e-5}
_FLOAT32_TOLERANCE = 1e-5


class _Strict(pa.DataFrameModel):
    """A table without further columns."""

    class Config:
        strict = True


class Manifest(_Strict):
    """One row per usable image, in the order of its store."""

    image: Series[str] = pa.Field(unique=True, str_length={"min_value": 1})
    path: Series[str] = pa.Field(str_length={"min_value": 1})
    sha256: Series[str] = pa.Field(str_matches=_SHA256)
    stored_sha256: Series[str] = pa.Field(str_matches=_SHA256)
    width: Series[int] = pa.Field(gt=0)
    height: Series[int] = pa.Field(gt=0)
    split: Series[str] = pa.Field(isin=_SPLITS)
    label: Series[str] = pa.Field(nullable=True)
    captions: Series[object]
    group: Series[int] = pa.Field(ge=0)


class CaptionedManifest(Manifest):
    """Flickr8k: every image has captions and none has a label."""

    @pa.check("captions", element_wise=True)
    @classmethod
    def has_captions(cls, captions: Sized) -> bool:
        """Each image has one caption or more."""
        return len(captions) > 0

    @pa.check("label")
    @classmethod
    def has_no_label(cls, label: pd.Series) -> Any:
        """Captioned images have no class."""
        return label.isna()


class LabelledManifest(Manifest):
    """Sports: training images have a label, test images have none."""

    @pa.dataframe_check
    @classmethod
    def has_label_in_training(cls, table: pd.DataFrame) -> Any:
        """A label where, and only where, the split is `train`."""
        return table["label"].notna() == (table["split"] == "train")


class Quarantine(_Strict):
    """One row per rejected file."""

    corpus: Series[str] = pa.Field(isin=_CORPORA)
    image: Series[str]
    path: Series[str]
    reason: Series[str] = pa.Field(str_length={"min_value": 1})
    detail: Series[str]


class Duplicates(_Strict):
    """One row per member of a group of two or more duplicates."""

    group: Series[int] = pa.Field(ge=0)
    corpus: Series[str] = pa.Field(isin=_CORPORA)
    image: Series[str]
    split: Series[str] = pa.Field(isin=_SPLITS)
    label: Series[str] = pa.Field(nullable=True)
    kind: Series[str] = pa.Field(isin=("exact", "near"))
    action: Series[str] = pa.Field(isin=("kept", "dropped", "quarantined"))


class Splits(pa.DataFrameModel):
    """Seeded, group-aware splits and nested label subsets."""

    image: Series[str] = pa.Field(unique=True)
    label: Series[str] = pa.Field(nullable=True)
    split: Series[str] = pa.Field(isin=("development", "test", "unlabelled"))
    group: Series[int] = pa.Field(ge=0)
    ranks: Series[int] = pa.Field(ge=-1, alias=r"rank_seed_\d+", regex=True)

    @pa.dataframe_check
    @classmethod
    def splits_share_no_group(cls, table: pd.DataFrame) -> bool:
        """No duplicate group lies in two splits."""
        return bool((table.groupby("group")["split"].nunique() == 1).all())

    @pa.dataframe_check
    @classmethod
    def ranks_are_of_development(cls, table: pd.DataFrame) -> Any:
        """A rank where, and only where, the split is `development`."""
        return (table["rank_seed_0"] >= 0) == (table["split"] == "development")


class SubmissionOrder(pa.DataFrameModel):
    """The published test list, in its order."""

    image: Series[str] = pa.Field(unique=True)


class EvaluationPredictions(_Strict):
    """One row per evaluation image: the zero-shot and the fine-tuned prediction."""

    image: Series[str] = pa.Field(unique=True)
    label: Series[str]
    zero_shot_label: Series[str]
    zero_shot_probability: Series[float] = pa.Field(in_range=_PROBABILITY, coerce=True)
    zero_shot_top5: Series[object]
    zero_shot_top5_probabilities: Series[object]
    finetuned_label: Series[str]
    finetuned_probability: Series[float] = pa.Field(in_range=_PROBABILITY, coerce=True)
    finetuned_top5: Series[object]
    finetuned_top5_probabilities: Series[object]
    finetuned_probabilities: Series[object]

    @pa.dataframe_check
    @classmethod
    def top5_starts_with_the_prediction(cls, table: pd.DataFrame) -> pd.Series:
        """The first of the top 5 is the predicted class, with its probability."""
        valid = pd.Series(True, index=table.index)
        for model in ("zero_shot", "finetuned"):
            first = table[f"{model}_top5_probabilities"].str[0]
            difference = (first - table[f"{model}_probability"]).abs()
            valid &= table[f"{model}_top5"].str[0] == table[f"{model}_label"]
            valid &= difference < _FLOAT32_TOLERANCE
        return valid

    @pa.dataframe_check
    @classmethod
    def top5_is_ranked(cls, table: pd.DataFrame) -> pd.Series:
        """Five different classes (or all of fewer) in descending order of probability."""
        length = table["finetuned_probabilities"].map(len).clip(upper=5)
        valid = pd.Series(True, index=table.index)
        for model in ("zero_shot", "finetuned"):
            labels, values = table[f"{model}_top5"], table[f"{model}_top5_probabilities"]
            valid &= (labels.map(len) == length) & (labels.map(set).map(len) == length)
            valid &= (values.map(len) == length) & values.map(
                lambda x: bool((np.diff(x) <= 0).all())
            )
        return valid
