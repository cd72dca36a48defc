from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sports_clip_pipeline.config.embed import EmbedConfig
from sports_clip_pipeline.config.tower_names import IMAGE_TOWERS
from sports_clip_pipeline.errors import UserFacingError

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("given", [(), [], None, ""])
def test_there_need_be_no_companions(given: object) -> None:
    assert EmbedConfig(companions=given).companions == ()


@pytest.mark.parametrize("given", ["lite1+lite0", ["lite0", "lite1"], ("lite1", "lite0")])
def test_companions_are_kept_in_the_order_of_their_names(given: object) -> None:
    assert EmbedConfig(companions=given).companions == ("lite0", "lite1")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("lite2", "towers other than embed.image_tower"),
        ("lite0+lite0", "none twice"),
        ("resnet", "one of lite0, lite1, lite2"),
    ],
)
def test_companions_that_make_no_sense_are_refused(given: str, wanted: str) -> None:
    with pytest.raises(UserFacingError, match=rf"parameter embed\.companions: wanted {wanted}"):
        EmbedConfig(image_tower="lite2", companions=given)


def test_the_names_in_the_configuration_are_those_of_the_towers() -> None:
    from sports_clip_pipeline.models import image_towers

    assert tuple(image_towers.IMAGE_TOWERS) == IMAGE_TOWERS


@pytest.mark.parametrize("study", ["base", "real"])
def test_the_shipped_parameters_are_accepted(study: str) -> None:
    block = yaml.safe_load((CONF / study / "parameters_embed.yml").read_text())["embed"]
    assert EmbedConfig(**block).image_tower not in EmbedConfig(**block).companions
