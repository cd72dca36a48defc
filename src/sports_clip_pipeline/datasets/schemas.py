"""What the tables of ingest must look like; the catalog checks them on save and on load."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series

_SHA256 = r"[0-9a-f]{64}"
_CORPORA = ("flickr8k", "sports")
_SPLITS = ("train", "validation", "test")


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
    """Who trains and who judges."""

    image: Series[str] = pa.Field(unique=True)
    label: Series[str] = pa.Field(nullable=True)
    part: Series[str] = pa.Field(isin=("development", "evaluation", "unlabelled_test"))
    group: Series[int] = pa.Field(ge=0)
    ranks: Series[int] = pa.Field(ge=-1, alias=r"rank_seed_\d+", regex=True)

    @pa.dataframe_check
    @classmethod
    def parts_share_no_group(cls, table: pd.DataFrame) -> bool:
        """No duplicate group lies in two parts."""
        return bool((table.groupby("group")["part"].nunique() == 1).all())

    @pa.dataframe_check
    @classmethod
    def ranks_are_of_development(cls, table: pd.DataFrame) -> Any:
        """A rank where, and only where, the part is `development`."""
        return (table["rank_seed_0"] >= 0) == (table["part"] == "development")


class SubmissionOrder(pa.DataFrameModel):
    """The published test list, in its order."""

    image: Series[str] = pa.Field(unique=True)
