from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from sports_clip_pipeline.encoders.registry import (
    IMAGE_ENCODERS,
    PACKAGED,
    TEXT_ENCODERS,
    weight_facts,
)

WEIGHTS = (Path(__file__).parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")


def test_every_packaged_tower_has_its_facts():
    assert set(PACKAGED) == {*IMAGE_ENCODERS, *TEXT_ENCODERS}


@pytest.mark.parametrize("name", sorted(PACKAGED))
def test_the_page_of_weights_says_the_same(name):
    facts = PACKAGED[name]
    row = next(line for line in WEIGHTS.splitlines() if line.startswith(f"| `{name}` |"))

    assert f"`{facts.package}`" in row
    assert facts.licence.split()[0] in row
    assert metadata.version(facts.package)


def test_weights_of_others_are_said_to_be_unrecorded_and_random_ones_need_no_licence():
    assert "not recorded" in weight_facts("timm/resnet50.tv_in1k").licence
    assert weight_facts("timm/resnet18@/data/a.safetensors").origin == "a file that the study names"
    assert weight_facts("open_clip/ViT-B-32@random").licence == "none needed"
