from typing import Any

import pytest
import timm
import torch

from sports_clip_pipeline.clip.model import (
    image_blocks,
    image_encoder,
    projection_heads,
    projection_parameters,
    text_blocks,
    text_encoder,
    timm_stages,
)
from sports_clip_pipeline.encoders.open_clip_pairs import build_pair

TEXT = {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 3}
VIT = {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 16}
RESNET = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8}


def pair(vision: dict[str, Any]) -> Any:
    return build_pair({"embed_dim": 8, "vision_cfg": vision, "text_cfg": TEXT})


def names(model: Any, parameters: list[Any]) -> set[str]:
    ids = {id(parameter) for parameter in parameters}
    return {name for name, parameter in model.named_parameters() if id(parameter) in ids}


@pytest.mark.parametrize(("vision", "count"), [(VIT, 3), (RESNET, 5)])
def test_blocks_partition_both_encoders_of_a_pair(vision: dict[str, Any], count: int) -> None:
    model = pair(vision)
    blocks = image_blocks(model)
    assert len(blocks) == count, "the stem and the blocks"
    every = [id(parameter) for block in blocks for parameter in block]
    assert len(every) == len(set(every)) == len(list(image_encoder(model).parameters()))
    assert len(text_blocks(model)) == 3
    inside = names(model, [parameter for block in text_blocks(model) for parameter in block])
    outside = names(model, list(text_encoder(model).parameters())) - inside
    assert {"text.token_embedding.weight", "text.positional_embedding"} <= outside


def test_the_last_block_of_a_vision_transformer_includes_the_final_norm() -> None:
    model = pair(VIT)
    last = names(model, image_blocks(model)[-1])
    assert {"visual.ln_post.weight", "visual.transformer.resblocks.1.ln_1.weight"} <= last
    assert not any("resblocks.0" in name for name in last)


def test_projection_parameters_of_a_pair_are_its_projections_and_scale() -> None:
    model = pair(VIT)
    both = names(model, projection_parameters(model, True, True, False))
    assert both == {"visual.proj", "text.text_projection", "logit_scale"}
    assert names(model, projection_parameters(model, True, False, False)) == {
        "visual.proj",
        "logit_scale",
    }
    assert names(model, projection_parameters(model, False, True, False)) == {
        "text.text_projection",
        "logit_scale",
    }
    features = torch.randn(2, 8)
    for head in projection_heads(model):
        torch.testing.assert_close(head(features), features)


def test_timm_stages_partition_the_encoder() -> None:
    trunk = timm.create_model("test_resnet")
    stages = timm_stages(trunk)
    assert sum(len(stage) for stage in stages) == len(list(trunk.parameters()))
