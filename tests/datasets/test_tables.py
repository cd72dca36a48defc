from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DatasetError

from sports_clip_pipeline.cli import one_line
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io import CsvTable, JsonDocument, ParquetTable

TABLE = pd.DataFrame({"image": ["a", "b"], "n": [1, 2]})


@pytest.mark.parametrize("kind", [ParquetTable, CsvTable])
def test_a_failing_save_leaves_the_old_table_and_no_rest(
    kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table"
    options = {"save_args": {"index": False}} if kind is CsvTable else {}
    dataset = kind(filepath=str(path), **options)
    dataset.save(TABLE)

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for writer in ("to_parquet", "to_csv"):
        monkeypatch.setattr(pd.DataFrame, writer, fails)
    with pytest.raises((UserFacingError, DatasetError), match="table: No space") as refused:
        dataset.save(TABLE[:1])
    assert one_line(refused.value).startswith(f"{path}: No space left on device (")
    pd.testing.assert_frame_equal(dataset.load(), TABLE, check_dtype=False)
    assert list(tmp_path.iterdir()) == [path]


def test_a_document_that_is_no_json_leaves_the_old_one(tmp_path: Path) -> None:
    dataset = JsonDocument(filepath=str(tmp_path / "d.json"))
    dataset.save({"a": 1})
    with pytest.raises(DatasetError):
        dataset.save({"a": object()})
    assert dataset.load() == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["d.json"]


def test_an_optional_table_is_empty_where_it_does_not_stand(tmp_path):
    from sports_clip_pipeline.io import OptionalTable

    table = OptionalTable(filepath=str(tmp_path / "t.parquet"))
    assert table.load().empty and not table.exists()
    table.save(pd.DataFrame({"a": [1]}))
    assert table.load()["a"].tolist() == [1]
