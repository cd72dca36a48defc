"""conf/own, the environment for a user's own images, merged over conf/base."""

from __future__ import annotations

import inspect
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader

from sports_clip_pipeline.data.class_bank import class_bank_yaml
from sports_clip_pipeline.hooks import check_study, check_text_encoders
from sports_clip_pipeline.parameters import Parameters
from sports_clip_pipeline.pipeline_registry import register_pipelines
from tests.conftest import ROOT, config_loader

LABELS = ("bald_eagle", "Würger – neu", "no", "St. Bernard", "2020")


@pytest.fixture
def loader(tmp_path: Path) -> OmegaConfigLoader:
    """The configuration of `--env=own` with a written class bank."""
    for name in ("base", "own"):
        shutil.copytree(ROOT / "conf" / name, tmp_path / name)
    (tmp_path / "own" / "parameters_class_bank.yml").write_text(class_bank_yaml(LABELS))
    return config_loader("own", tmp_path)


def hinted_blocks() -> Iterator[tuple[str, Any]]:
    """The name and the type hint of every `params:` input of every node."""
    for node in {node for pipeline in register_pipelines().values() for node in pipeline.nodes}:
        hints = typing.get_type_hints(node.func)
        given = node._inputs  # a mapping where the function takes its inputs by name
        if not isinstance(given, dict):
            given = inspect.signature(node.func).bind(*node.inputs).arguments
        for argument, name in given.items():
            if name.startswith("params:"):
                yield name.removeprefix("params:"), hints[argument]


def test_every_parameter_block_of_a_node_is_a_valid_model(loader: OmegaConfigLoader) -> None:
    parameters = loader["parameters"]
    hints = dict(hinted_blocks())
    assert all(issubclass(hint, Parameters) for hint in hints.values()), hints
    built = {name: hint(**parameters[name]) for name, hint in hints.items()}
    assert {"ingest", "class_bank", "embed", "pretrain", "finetune", "analysis"} <= set(built)
    assert built["class_bank"].labels == LABELS
    assert built["report"].study == "own"
    assert built["report"].reference == ()
    check_study(loader)
    check_text_encoders(loader)


def test_the_catalog_uses_the_corpus_names_of_its_globals(loader: OmegaConfigLoader) -> None:
    catalog = loader["catalog"]
    assert catalog["sports_source"]["filepath"] == "data/01_raw/own/images"
    assert catalog["flickr8k_source"]["filepath"] == "data/01_raw/own/flickr8k"
    assert catalog["report"]["filepath"].startswith("data/08_reporting/own/")


def test_no_class_bank_is_committed() -> None:
    assert not (ROOT / "conf" / "own" / "parameters_class_bank.yml").exists()
