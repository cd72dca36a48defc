from __future__ import annotations

import pytest
import timm
from torch import nn

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.targets import find_layer


def test_the_default_of_an_efficientnet_is_the_map_that_is_pooled(lite0):
    assert find_layer(lite0) is lite0.bn2


def test_the_default_of_a_resnet_is_its_last_stage():
    tower = timm.create_model("resnet18", pretrained=False)
    assert find_layer(tower) is tower.layer4


def test_a_dotted_name_is_followed(lite0):
    assert find_layer(lite0, "blocks.6.0.conv_pw") is lite0.blocks[6][0].conv_pw


@pytest.mark.parametrize("name", ["blocks.9", "", "bn2.nothing"])
def test_a_layer_that_is_not_there_is_an_error_that_lists_what_is(lite0, name):
    with pytest.raises(UserFacingError, match=r"cam\.layer.*no such layer.*conv_head"):
        find_layer(lite0, name)


def test_an_unknown_kind_of_tower_asks_for_a_name():
    with pytest.raises(UserFacingError, match=r"cam\.layer = auto.*name one of"):
        find_layer(nn.Sequential(nn.Linear(2, 2)))
