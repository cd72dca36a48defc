from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from kedro.io import AbstractDataset, DatasetError

from sports_clip_pipeline.cli import one_line
from sports_clip_pipeline.io import JsonDocument

CATALOG = Path(__file__).parents[2] / "conf" / "base" / "catalog_embed.yml"


def audit_at(path: Path) -> AbstractDataset:
    """The `embed_audit` of the catalog, in another place."""
    config = yaml.safe_load(CATALOG.read_text())["embed_audit"]
    return AbstractDataset.from_config("embed_audit", {**config, "filepath": str(path)})


def test_a_document_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    dataset = JsonDocument(filepath=str(tmp_path / "a.json"), fields=["views"], made_by="embed")
    dataset.save({"views": ["full"], "more": 1})
    assert dataset.load() == {"views": ["full"], "more": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_an_audit_of_an_older_version_names_its_file_and_the_pipeline_to_run(
    tmp_path: Path,
) -> None:
    path = tmp_path / "embed_audit.json"
    path.write_text(json.dumps({"image_encoder": "lite0", "text_encoder": "minilm"}))
    with pytest.raises(DatasetError) as refused:
        audit_at(path).load()
    line = one_line(refused.value)
    assert line.startswith(f"{path}: weights_sha256, preprocessing, views, ")
    assert line.endswith("`kedro run --pipelines=embed`")


def test_a_document_without_promised_fields_may_hold_anything(tmp_path: Path) -> None:
    dataset = JsonDocument(filepath=str(tmp_path / "a.json"))
    dataset.save([1, 2])
    assert dataset.load() == [1, 2]
