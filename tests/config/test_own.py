"""conf/own, the environment for photographs of one's own, beside conf/base."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader

from sports_clip_pipeline.corpora.class_bank import class_bank_yaml

CONF = Path(__file__).resolve().parents[2] / "conf"
LABELS = ("bald_eagle", "Würger – neu", "no", "St. Bernard", "2020")


@pytest.fixture
def loader(tmp_path: Path) -> OmegaConfigLoader:
    """As `kedro run --env=own` reads it, once the class bank is written."""
    for name in ("base", "own"):
        shutil.copytree(CONF / name, tmp_path / name)
    (tmp_path / "own" / "parameters_class_bank.yml").write_text(class_bank_yaml(LABELS))
    return OmegaConfigLoader(
        str(tmp_path), base_env="base", default_run_env="local", env="own", runtime_params={}
    )


def test_the_corpora_stand_under_the_names_of_its_globals(loader: OmegaConfigLoader) -> None:
    catalog = loader["catalog"]
    assert catalog["sports_source"]["filepath"] == "data/01_raw/own/photographs"
    assert catalog["flickr8k_source"]["filepath"] == "data/01_raw/own/flickr8k"
    assert catalog["report"]["filepath"].startswith("data/08_reporting/own/")


def test_no_class_bank_comes_with_it() -> None:
    """A bank that somebody forgot to write would be taken for theirs."""
    assert not (CONF / "own" / "parameters_class_bank.yml").exists()
