from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sports_clip_pipeline.config.cam_eval import CamEvalConfig
from sports_clip_pipeline.errors import UserFacingError

CONF = Path(__file__).parents[2] / "conf/base/parameters_cam_eval.yml"


def test_the_committed_configuration_names_every_field_and_is_the_default():
    block = OmegaConf.to_container(OmegaConf.load(CONF))["cam_eval"]
    assert set(block) == set(CamEvalConfig.__dataclass_fields__)
    assert CamEvalConfig(**block) == CamEvalConfig()


def test_lists_may_be_written_with_plus_signs():
    config = CamEvalConfig(methods="gradcam+guided", road_shares="0.1+0.9", targets="prompts")
    assert config.methods == ("gradcam", "guided")
    assert config.road_shares == (0.1, 0.9) and config.targets == ("prompts",)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("photographs", 0),
        ("wrong_share", 1.2),
        ("seed", -1),
        ("targets", ["towers"]),
        ("targets", ["prompts", "prompts"]),
        ("methods", ["cam"]),
        ("scorecam_photographs", -1),
        ("road_shares", [0.0]),
        ("road_shares", [1.0]),
        ("steps", 0),
        ("stages", 0),
        ("correlation_limit", 2),
        ("layer", ""),
        ("resamples", 10),
        ("workers", 1.5),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(field, value):
    with pytest.raises(UserFacingError, match=rf"parameter cam_eval\.{field}: wanted "):
        CamEvalConfig(**{field: value})
