"""conf/own, the environment for images of one's own, beside conf/base."""

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
from sports_clip_pipeline.pipeline_registry import register_pipelines

CONF = Path(__file__).resolve().parents[1] / "conf"
LABELS = ("bald_eagle", "Würger – neu", "no", "St. Bernard", "2020")


@pytest.fixture
def loader(tmp_path: Path) -> OmegaConfigLoader:
    """As `kedro run --env=own` reads it, once the class bank is written."""
    for name in ("base", "own"):
        shutil.copytree(CONF / name, tmp_path / name)
    (tmp_path / "own" / "parameters_class_bank.yml").write_text(class_bank_yaml(LABELS))
    return OmegaConfigLoader(
        str(tmp_path),
        base_env="base",
        default_run_env="local",
        env="own",
        runtime_params={},
        merge_strategy={"parameters": "soft"},
    )


def hinted_blocks() -> Iterator[tuple[str, Any]]:
    """Every parameter block that a node takes, with its model."""
    for node in register_pipelines()["__default__"].nodes:
        hints = typing.get_type_hints(node.func)
        given = node._inputs  # a mapping where the function takes its inputs by name
        if not isinstance(given, dict):
            given = inspect.signature(node.func).bind(*node.inputs).arguments
        for argument, name in given.items():
            if name.startswith("params:"):
                yield name.removeprefix("params:"), hints[argument]


def test_every_block_that_a_node_takes_can_be_built(loader: OmegaConfigLoader) -> None:
    parameters = loader["parameters"]
    built = {name: hint(**parameters[name]) for name, hint in hinted_blocks()}
    assert {"ingest", "class_bank", "embed", "pretrain", "finetune", "analysis"} <= set(built)
    assert built["class_bank"].labels == LABELS
    assert built["report"].study == "own"
    assert built["report"].reference == ()
    check_study(loader)
    check_text_encoders(loader)


def test_the_corpora_stand_under_the_names_of_its_globals(loader: OmegaConfigLoader) -> None:
    catalog = loader["catalog"]
    assert catalog["sports_source"]["filepath"] == "data/01_raw/own/images"
    assert catalog["flickr8k_source"]["filepath"] == "data/01_raw/own/flickr8k"
    assert catalog["report"]["filepath"].startswith("data/08_reporting/own/")


def test_no_class_bank_comes_with_it() -> None:
    """A bank that somebody forgot to write would be taken for theirs."""
    assert not (CONF / "own" / "parameters_class_bank.yml").exists()
