from __future__ import annotations

import pytest

from sports_clip_pipeline.config.embed import EmbedConfig
from sports_clip_pipeline.config.tower_names import (
    is_pair,
    require_image_tower,
    require_text_tower,
)
from sports_clip_pipeline.errors import UserFacingError

PAIR = "open_clip/ViT-L-14-336@openai"


@pytest.mark.parametrize("name", ["lite0", "timm/resnet50.a1_in1k", "timm/x@w.safetensors", PAIR])
def test_names_of_image_towers_pass(name: str) -> None:
    require_image_tower(name, "embed.image_tower")


@pytest.mark.parametrize("name", ["minilm", "hf/a/b", "hf//models/x@random", PAIR])
def test_names_of_text_towers_pass(name: str) -> None:
    require_text_tower(name, "embed.text_tower")


@pytest.mark.parametrize("name", ["resnet50", "timm/", "hf/x", "open_clip/ViT-B-32", 5, None])
def test_what_names_no_image_tower_is_refused_with_the_forms(name: object) -> None:
    with pytest.raises(UserFacingError, match=r"lite0, lite1, lite2, or timm/|timm/<architecture>"):
        require_image_tower(name, "embed.image_tower")


def test_a_pair_names_both_towers_and_has_a_size_of_its_own() -> None:
    found = EmbedConfig(image_tower=PAIR, text_tower=PAIR, image_size=336)
    assert is_pair(found.image_tower) and not is_pair("lite0")
    with pytest.raises(UserFacingError, match=r"embed\.text_tower: wanted the pair"):
        EmbedConfig(image_tower=PAIR)
    with pytest.raises(UserFacingError, match="a multiple of 32"):
        EmbedConfig(image_size=250)
