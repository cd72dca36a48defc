from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sports_clip_pipeline.clip.model import timm_stages
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.training.unlock import changing_entries, set_train_mode, unlock

HEADS = {"visual.head.proj.weight", "visual.head.proj.bias", "text.proj.weight", "logit_scale"}


def learning(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_nothing_unlocked_leaves_projections_and_scale(new_clip: Callable[[], Any]) -> None:
    model = new_clip()
    unlock(model, 0, 0)
    set_train_mode(model)
    assert learning(model) == HEADS == set(changing_entries(model))


def test_one_block_is_the_last_stage_with_what_follows_it_and_the_last_layer(
    new_clip: Callable[[], Any],
) -> None:
    model = new_clip()
    unlock(model, 1, 1)
    last = ("visual.trunk.blocks.6.", "visual.trunk.conv_head.", "visual.trunk.bn2.")
    layer = "text.transformer.encoder.layer.5."
    wanted = {n for n, _ in model.named_parameters() if n.startswith((*last, layer))}
    assert learning(model) == HEADS | wanted
    assert {name.split(".")[2] for name in wanted if name.startswith("visual")} == {
        "blocks", "conv_head", "bn2",
    }  # fmt: skip


def test_minus_one_is_all_of_an_encoder(new_clip: Callable[[], Any]) -> None:
    model = new_clip()
    unlock(model, -1, 0)
    trunk = {n for n, _ in model.named_parameters() if n.startswith("visual.trunk.")}
    assert learning(model) == HEADS | trunk
    unlock(model, 0, -1)
    text = {n for n, _ in model.named_parameters() if n.startswith("text.transformer.")}
    assert learning(model) == HEADS | text


def test_stages_divide_the_encoder(new_clip: Callable[[], Any]) -> None:
    trunk = new_clip().visual.trunk
    stages = timm_stages(trunk)
    assert len(stages) == 8, "the stem and seven stages"
    members = [id(parameter) for stage in stages for parameter in stage]
    assert sorted(members) == sorted(id(parameter) for parameter in trunk.parameters())


@pytest.mark.parametrize(
    ("blocks", "line"),
    [
        ((9, 0), r"pretrain\.unlocked_image_blocks: the encoder has 8 blocks, got 9"),
        ((0, 7), r"pretrain\.unlocked_text_blocks: the encoder has 6 blocks, got 7"),
    ],
)
def test_more_blocks_than_there_are_is_an_error(
    new_clip: Callable[[], Any], blocks: tuple[int, int], line: str
) -> None:
    with pytest.raises(UserFacingError, match=line):
        unlock(new_clip(), *blocks)


def test_only_norms_between_learning_layers_move_their_statistics(
    new_clip: Callable[[], Any],
) -> None:
    model = new_clip()
    unlock(model, 1, 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    set_train_mode(model)
    names = changing_entries(model)
    with torch.no_grad():
        model.visual(torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    moved = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert moved
    assert moved <= set(names)
    last = ("visual.trunk.blocks.6.", "visual.trunk.bn2.")
    assert all(name.startswith(last) for name in moved)
    norms = {n for n in before if n.startswith(last) and n.endswith(("running_mean", "tracked"))}
    assert norms <= moved


def test_a_model_put_in_evaluation_mode_returns_to_the_same_modes(
    new_clip: Callable[[], Any],
) -> None:
    model = new_clip()
    unlock(model, 0, 1)
    set_train_mode(model)
    modes = {name: module.training for name, module in model.named_modules()}
    assert modes["text.transformer.encoder.layer.5.output.dropout"]
    assert not modes["text.transformer.encoder.layer.4.output.dropout"]
    assert not modes["text.transformer.embeddings.dropout"]
    assert not any(on for name, on in modes.items() if name.startswith("visual.trunk"))
    model.eval()
    set_train_mode(model)
    assert {name: module.training for name, module in model.named_modules()} == modes
