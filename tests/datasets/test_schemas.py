from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DataCatalog

SHA = "0" * 64


def manifest(**changes: object) -> pd.DataFrame:
    row = {
        "image": "a.jpg",
        "path": "train/a.jpg",
        "sha256": SHA,
        "stored_sha256": SHA,
        "dhash": "0" * 16,
        "width": 3,
        "height": 2,
        "split": "train",
        "label": "chess",
        "captions": [[]],
        "group": 0,
    }
    table = pd.DataFrame({**row, **changes}, index=range(1))
    return table.astype({"label": "str"})


def table_dataset(path: Path, schema: str):
    entry = {
        "type": "sports_clip_pipeline.datasets.ParquetTable",
        "filepath": str(path),
        "validator": f"sports_clip_pipeline.datasets.schemas.{schema}",
    }
    return DataCatalog.from_config({"table": entry})


def test_a_good_manifest_passes_on_save_and_on_load(tmp_path: Path) -> None:
    catalog = table_dataset(tmp_path / "m.parquet", "LabelledManifest")
    catalog.save("table", manifest())
    assert catalog.load("table")["image"].tolist() == ["a.jpg"]
    captioned = table_dataset(tmp_path / "c.parquet", "CaptionedManifest")
    captioned.save("table", manifest(label=None, captions=[["A dog .", "Two ."]]))
    assert list(captioned.load("table")["captions"][0]) == ["A dog .", "Two ."]


@pytest.mark.parametrize(
    ("schema", "changes", "said"),
    [
        ("LabelledManifest", {"sha256": "xyz"}, "sha256"),
        ("LabelledManifest", {"split": "dev"}, "split"),
        ("LabelledManifest", {"width": 0}, "width"),
        ("LabelledManifest", {"split": "test"}, "has_label_in_training"),
        ("LabelledManifest", {"extra": 1}, "extra"),
        ("CaptionedManifest", {"label": None}, "has_captions"),
        ("CaptionedManifest", {"captions": [["x"]]}, "has_no_label"),
    ],
)
def test_a_bad_manifest_is_refused_and_nothing_is_written(
    tmp_path: Path, schema: str, changes: dict, said: str
) -> None:
    catalog = table_dataset(tmp_path / "m.parquet", schema)
    with pytest.raises(Exception, match=said):
        catalog.save("table", manifest(**changes))
    assert list(tmp_path.iterdir()) == []


def splits(**changes: object) -> pd.DataFrame:
    ranks = {f"rank_seed_{k}": [0, -1] for k in range(5)}
    columns = {"image": ["a", "b"], "label": ["x", "x"], "group": [0, 1], **ranks}
    return pd.DataFrame({**columns, "part": ["development", "evaluation"], **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"group": [0, 0]}, "parts_share_no_group"),
        ({"rank_seed_0": [0, 0]}, "ranks_are_of_development"),
        ({"part": ["development", "test"]}, "part"),
        ({"image": ["a", "a"]}, "image"),
    ],
)
def test_bad_splits_are_refused(tmp_path: Path, changes: dict, said: str) -> None:
    catalog = table_dataset(tmp_path / "s.parquet", "Splits")
    catalog.save("table", splits())
    with pytest.raises(Exception, match=said):
        catalog.save("table", splits(**changes))
