import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog, DatasetError

from sports_clip_pipeline.cli import one_line
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io import (
    CsvTable,
    EvaluationLogFile,
    HeadFile,
    JsonDocument,
    MovedTable,
    OptionalTable,
    ParquetTable,
)
from sports_clip_pipeline.predictor.head import Head, Operation, blend

TABLE = pd.DataFrame({"image": ["a", "b"], "n": [1, 2]})
CONF = Path(__file__).parents[2] / "conf" / "base"


@pytest.mark.parametrize("dataset_class", [ParquetTable, CsvTable])
def test_failing_save_leaves_the_old_table_and_no_partial_file(
    dataset_class: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table"
    options = {"save_args": {"index": False}} if dataset_class is CsvTable else {}
    dataset = dataset_class(filepath=str(path), **options)
    dataset.save(TABLE)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for writer in ("to_parquet", "to_csv"):
        monkeypatch.setattr(pd.DataFrame, writer, fail)
    with pytest.raises((UserFacingError, DatasetError), match="table: No space") as refused:
        dataset.save(TABLE[:1])
    assert one_line(refused.value).startswith(f"{path}: No space left on device; ")
    pd.testing.assert_frame_equal(dataset.load(), TABLE, check_dtype=False)
    assert list(tmp_path.iterdir()) == [path]


def test_optional_table_is_empty_if_missing(tmp_path: Path) -> None:
    table = OptionalTable(filepath=str(tmp_path / "t.parquet"))
    assert table.load().empty and not table.exists()
    table.save(pd.DataFrame({"a": [1]}))
    assert table.load()["a"].tolist() == [1]


def test_moved_table_replaces_the_former_one(tmp_path: Path) -> None:
    path = tmp_path / "out" / "table.csv"
    dataset = MovedTable(filepath=str(path))
    for text in ("a,b\n1,2\n", "a,b\n3,4\n"):
        written = tmp_path / "written.csv"
        written.write_text(text)
        dataset.save(written)
        assert not written.exists()
        assert path.read_text() == text
    assert dataset.load().to_dict("list") == {"a": [3], "b": [4]}
    assert list(path.parent.iterdir()) == [path]


def test_json_document_is_saved_atomically(tmp_path: Path) -> None:
    dataset = JsonDocument(filepath=str(tmp_path / "a.json"), required=["views"], made_by="embed")
    dataset.save({"views": ["full"], "more": 1})
    with pytest.raises(DatasetError):
        dataset.save({"views": object()})
    assert dataset.load() == {"views": ["full"], "more": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("pipeline", "entry", "missing"),
    [
        ("embed", "embed_audit", "weights_sha256, preprocessing, views, additional_encoders"),
        ("finetune", "test_predictions", "zero_shot_top5, zero_shot_top5_probabilities"),
    ],
)
def test_a_file_of_an_older_version_is_named_with_the_pipeline_to_run(
    tmp_path: Path, pipeline: str, entry: str, missing: str
) -> None:
    config = yaml.safe_load((CONF / f"catalog_{pipeline}.yml").read_text())[entry]
    path = tmp_path / Path(config["filepath"]).name
    if path.suffix == ".json":
        path.write_text(json.dumps({"image_encoder": "lite0", "text_encoder": "minilm"}))
    else:
        TABLE.to_parquet(path)
    catalog = DataCatalog.from_config({entry: {**config, "filepath": str(path)}})
    with pytest.raises(DatasetError) as refused:
        catalog.load(entry)
    line = one_line(refused.value)
    assert line.startswith(f"{path}: {missing}")
    assert line.endswith(f"`kedro run --pipelines={pipeline}`")


def test_evaluations_are_appended_and_repeats_counted(tmp_path: Path) -> None:
    evaluation = {
        "trials": 3,
        "methods": ["gda"],
        "parameters_sha256": "a",
        "data_digest": "b",
        "chosen": "gda",
        "chosen_top1": 0.5,
    }
    log = EvaluationLogFile(filepath=str(tmp_path / "evaluation_log.json"))
    log.save(evaluation)
    log.save(evaluation)
    log.save({**evaluation, "chosen_top1": 0.6})
    first, second = log.load()
    assert (first["repeats"], second["repeats"]) == (1, 0)
    assert first["time_utc"].endswith("+00:00")
    assert second["chosen_top1"] == 0.6


def test_head_round_trip(tmp_path: Path) -> None:
    affine = Operation("affine", {"weight": np.eye(2, dtype=np.float32), "bias": np.ones(2)})
    head = blend(Head((affine,)), Head((affine, Operation("relu"))).scaled(2.0))
    dataset = HeadFile(filepath=str(tmp_path / "deep" / "head.safetensors"))
    assert not dataset.exists()
    dataset.save(head)
    x = np.array([[1.0, -3.0]], np.float32)
    np.testing.assert_array_equal(dataset.load()(x), head(x))


@pytest.mark.parametrize("content", [b"", b"not safetensors"])
def test_damaged_head_names_its_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "head.safetensors"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"head\.safetensors"):
        HeadFile(filepath=str(path)).load()
