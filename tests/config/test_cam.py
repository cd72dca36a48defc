from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sports_clip_pipeline.config.cam import CamConfig
from sports_clip_pipeline.errors import UserFacingError

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("environment", ["base", "real"])
def test_the_committed_configuration_is_valid_and_names_every_field(environment):
    block = OmegaConf.to_container(OmegaConf.load(CONF / environment / "parameters_cam.yml"))["cam"]
    assert set(block) == set(CamConfig.__dataclass_fields__)
    CamConfig(**block)


def test_lists_may_be_written_with_plus_signs():
    config = CamConfig(prompts="{true}+a ball+a racket", classes="{predicted}")
    assert config.prompts == ("{true}", "a ball", "a racket")
    assert config.classes == ("{predicted}",)


def test_no_prompts_and_no_classes_may_be_asked_for():
    assert CamConfig(prompts=[], classes=[]).prompts == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("right", -1),
        ("wrong", 2.5),
        ("confident_share", 0),
        ("confident_share", 1.5),
        ("seed", "a"),
        ("guided", "yes"),
        ("layer", " "),
        ("layer", 7),
        ("picture_px", 8),
        ("picture_quality", 100),
        ("classes", ["chess"]),
        ("pairs", -1),
        ("methods", ["cam"]),
        ("methods", []),
        ("methods", "gradcam+gradcam"),
        ("prompts", ["a {label}"]),
        ("prompts", ["a", "a"]),
        ("prompts", [3]),
        ("prompts", [" "]),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(field, value):
    with pytest.raises(UserFacingError, match=rf"parameter cam\.{field}: wanted "):
        CamConfig(**{field: value})


def test_no_photographs_at_all_are_refused():
    with pytest.raises(UserFacingError, match=r"cam\.right"):
        CamConfig(right=0, wrong=0)
