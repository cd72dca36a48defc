"""What the tables of ingest must look like; the catalog checks them on save and on load."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sized
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series

_SHA256 = r"[0-9a-f]{64}"
_CORPORA = ("flickr8k", "sports")
_SPLITS = ("train", "validation", "test")
_SHARE = {"min_value": 0, "max_value": 1 + 1e-5}
_ANSWER = ("label", "probability", "top5", "top5_probabilities")
# Of float32.
_ROUNDING = 1e-5


class Manifest(pa.DataFrameModel):
    """One row an image kept, in the order of its store."""

    image: Series[str] = pa.Field(unique=True, str_length={"min_value": 1})
    path: Series[str] = pa.Field(str_length={"min_value": 1})
    sha256: Series[str] = pa.Field(str_matches=f"^{_SHA256}$")
    stored_sha256: Series[str] = pa.Field(str_matches=f"^{_SHA256}$")
    dhash: Series[str] = pa.Field(str_matches=r"^[0-9a-f]{16}$")
    width: Series[int] = pa.Field(gt=0)
    height: Series[int] = pa.Field(gt=0)
    split: Series[str] = pa.Field(isin=_SPLITS)
    label: Series[str] = pa.Field(nullable=True)
    captions: Series[object]
    group: Series[int] = pa.Field(ge=0)

    class Config:
        """No other columns."""

        strict = True


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


class Quarantine(pa.DataFrameModel):
    """One row a file set aside."""

    corpus: Series[str] = pa.Field(isin=_CORPORA)
    image: Series[str]
    path: Series[str]
    reason: Series[str] = pa.Field(str_length={"min_value": 1})
    detail: Series[str]

    class Config:
        """No other columns."""

        strict = True


class Duplicates(pa.DataFrameModel):
    """One row a member of a group of two or more."""

    group: Series[int] = pa.Field(ge=0)
    corpus: Series[str] = pa.Field(isin=_CORPORA)
    image: Series[str]
    split: Series[str] = pa.Field(isin=_SPLITS)
    label: Series[str] = pa.Field(nullable=True)
    kind: Series[str] = pa.Field(isin=("exact", "near"))
    action: Series[str] = pa.Field(isin=("kept", "dropped", "quarantined"))

    class Config:
        """No other columns."""

        strict = True


class Splits(pa.DataFrameModel):
    """Seeded, group-aware splits and nested label subsets."""

    image: Series[str] = pa.Field(unique=True)
    label: Series[str] = pa.Field(nullable=True)
    split: Series[str] = pa.Field(isin=("development", "evaluation", "unlabelled"))
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


class EvaluationPredictions(pa.DataFrameModel):
    """One row an evaluation photograph: what was said of it without labels and with them."""

    image: Series[str] = pa.Field(unique=True)
    label: Series[str]
    zero_shot_label: Series[str]
    zero_shot_probability: Series[float] = pa.Field(in_range=_SHARE, coerce=True)
    zero_shot_top5: Series[object]
    zero_shot_top5_probabilities: Series[object]
    finetuned_label: Series[str]
    finetuned_probability: Series[float] = pa.Field(in_range=_SHARE, coerce=True)
    finetuned_top5: Series[object]
    finetuned_top5_probabilities: Series[object]
    finetuned_probabilities: Series[object]

    class Config:
        """No other columns."""

        strict = True

    @pa.dataframe_check
    @classmethod
    def answers_begin_with_the_first(cls, table: pd.DataFrame) -> Any:
        """The first of five answers is the answer, with its probability."""
        return _rows_hold(
            table,
            lambda label, probability, names, shares: (
                names[0] == label and abs(shares[0] - probability) < _ROUNDING
            ),
        )

    @pa.dataframe_check
    @classmethod
    def answers_fall(cls, table: pd.DataFrame) -> Any:
        """Five answers, or as many as there are classes; none twice; the most probable first."""
        most = table["finetuned_probabilities"].map(len).clip(upper=5)

        def fall(label: str, probability: float, names: Any, shares: Any) -> bool:
            falling = all(a >= b for a, b in itertools.pairwise(shares))
            return len(names) == len(shares) == len(set(names)) and falling

        lengths = (table["finetuned_top5"].map(len) == most) & (
            table["zero_shot_top5"].map(len) == most
        )
        return _rows_hold(table, fall) & lengths


def _rows_hold(table: pd.DataFrame, holds: Callable[[str, float, Any, Any], bool]) -> pd.Series:
    """Whether both answers of each row hold.

    Args:
        holds: of an answer, its probability, the five answers, and theirs.
    """
    found = pd.Series(True, index=table.index)
    for whose in ("zero_shot", "finetuned"):
        columns = [f"{whose}_{name}" for name in _ANSWER]
        rows = table[columns].itertuples(index=False, name=None)
        found &= pd.Series([bool(holds(*row)) for row in rows], index=table.index, dtype=bool)
    return found
