from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog

SHA = "0" * 64


def manifest(**changes: object) -> pd.DataFrame:
    row = {
        "image": "a.jpg",
        "path": "train/a.jpg",
        "sha256": SHA,
        "stored_sha256": SHA,
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
        "type": "sports_clip_pipeline.io.ParquetTable",
        "filepath": str(path),
        "validator": f"sports_clip_pipeline.io.schemas.{schema}",
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
    ("schema", "changes", "message"),
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
    tmp_path: Path, schema: str, changes: dict, message: str
) -> None:
    catalog = table_dataset(tmp_path / "m.parquet", schema)
    with pytest.raises(Exception, match=message):
        catalog.save("table", manifest(**changes))
    assert list(tmp_path.iterdir()) == []


def splits(**changes: object) -> pd.DataFrame:
    ranks = {f"rank_seed_{k}": [0, -1] for k in range(5)}
    columns = {"image": ["a", "b"], "label": ["x", "x"], "group": [0, 1], **ranks}
    return pd.DataFrame({**columns, "split": ["development", "test"], **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group": [0, 0]}, "splits_share_no_group"),
        ({"rank_seed_0": [0, 0]}, "ranks_are_of_development"),
        ({"split": ["development", "dev"]}, "split"),
        ({"image": ["a", "a"]}, "image"),
    ],
)
def test_bad_splits_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    catalog = table_dataset(tmp_path / "s.parquet", "Splits")
    catalog.save("table", splits())
    with pytest.raises(Exception, match=message):
        catalog.save("table", splits(**changes))


CATALOG = Path(__file__).parents[2] / "conf" / "base" / "catalog_finetune.yml"


def predictions(**changes: object) -> pd.DataFrame:
    """Two images of six classes; the zero-shot prediction of the first is wrong."""
    names, shares = list("bcdae"), np.array([0.4, 0.2, 0.15, 0.1, 0.1], dtype=np.float32)
    answer = {"label": "b", "probability": 0.4, "top5": names, "top5_probabilities": shares}
    row = {"image": "1", "label": "a"}
    for whose in ("zero_shot", "finetuned"):
        row |= {f"{whose}_{name}": value for name, value in answer.items()}
    row["finetuned_probabilities"] = np.full(6, 1 / 6, dtype=np.float32)
    return pd.DataFrame([{**row, **changes}, {**row, "image": "2"}])


def stored_predictions(path: Path) -> DataCatalog:
    """The `test_predictions` of the catalog, at another path."""
    config = yaml.safe_load(CATALOG.read_text())["test_predictions"]
    return DataCatalog.from_config({"table": {**config, "filepath": str(path)}})


def test_good_predictions_come_back_with_both_lists_of_five(tmp_path: Path) -> None:
    catalog = stored_predictions(tmp_path / "p.parquet")
    catalog.save("table", predictions())
    row = catalog.load("table").iloc[0]
    assert list(row["zero_shot_top5"]) == list("bcdae")
    assert row["finetuned_top5_probabilities"].dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zero_shot_label": "c"}, "top5_starts_with_the_prediction"),
        ({"finetuned_probability": 0.5}, "top5_starts_with_the_prediction"),
        ({"finetuned_probability": 1.5}, "finetuned_probability"),
        ({"zero_shot_top5": list("bcda")}, "top5_is_ranked"),
        ({"zero_shot_top5": list("bcdab")}, "top5_is_ranked"),
        ({"finetuned_top5_probabilities": [0.4, 0.1, 0.2, 0.1, 0.1]}, "top5_is_ranked"),
        ({"finetuned_probabilities": np.full(4, 0.25, dtype=np.float32)}, "top5_is_ranked"),
        ({"image": "2"}, "image"),
    ],
)
def test_predictions_that_contradict_themselves_are_refused(
    tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(Exception, match=message):
        stored_predictions(tmp_path / "p.parquet").save("table", predictions(**changes))
