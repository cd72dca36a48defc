"""What each method begins with."""

from __future__ import annotations

import dataclasses
import math
from copy import deepcopy

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.clip.projections import unit_norm
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.fewshot.end_to_end_methods import (
    Lora,
    LowRankLinear,
    WiseFt,
    class_contrast,
    find_end_to_end_method,
)
from sports_clip_pipeline.pipelines.end_to_end.config import END_TO_END_METHODS
from sports_clip_pipeline.training.classification import ImageClassifier
from tests.fewshot.end_to_end_factories import (
    FAST,
    Start,
    VitStart,
    anchors,
    prompts,
    start,
    tiny_vit,
)

PIXELS = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def built(method: str, begin: Start | None = None, seed: int = 0) -> ImageClassifier:
    own = VitStart("lite0", anchors(16), prompts()) if method == "lora" else start()
    return find_end_to_end_method(method).build(begin or own, FAST, seed).eval()


@pytest.mark.parametrize("method", END_TO_END_METHODS)
def test_the_exported_head_gives_the_classifiers_own_logits(method: str) -> None:
    model = built(method)
    for parameter in model.head.parameters():
        noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
        parameter.data.add_(0.1 * noise)
    with torch.no_grad():
        features, logits = model.features(PIXELS), model(PIXELS)
    np.testing.assert_allclose(model.head.exported()(features.numpy()), logits, atol=1e-4)


@pytest.mark.parametrize("method", ["last_blocks", "wise_ft", "lora"])
def test_a_zero_shot_start_answers_by_cosines_to_the_anchors(method: str) -> None:
    model = built(method)
    known = anchors(16 if method == "lora" else 1280)
    with torch.no_grad():
        features, logits = model.features(PIXELS).numpy(), model(PIXELS)
    embedded = unit_norm(features @ known.image_weight.T + known.image_bias)
    np.testing.assert_allclose(logits, 10.0 * embedded @ known.zero_shot_weights.T, atol=1e-4)


def test_the_contrastive_start_answers_by_cosines_to_its_prompts_means() -> None:
    model, said = built("flyp"), prompts()
    embedded = unit_norm(said.features @ said.text_weight.T).reshape(3, 2, -1)
    points = unit_norm(embedded.mean(axis=1))
    weights = model.head.class_weights().detach()
    np.testing.assert_allclose(weights, 10.0 * points, atol=1e-4)


def test_random_weights_are_not_imagenets_and_follow_the_seed() -> None:
    first, same, other = (built("full_random", seed=seed) for seed in (0, 0, 1))
    name = "conv_stem.weight"
    kernels = [model.encoder.state_dict()[name] for model in (first, same, other)]
    packaged = built("full_imagenet").encoder.state_dict()[name]
    assert torch.equal(kernels[0], kernels[1])
    assert not torch.equal(kernels[0], kernels[2])
    assert not torch.allclose(kernels[0], packaged, atol=1e-2)


def test_a_tower_that_pretraining_unlocked_is_where_zero_shot_starts() -> None:
    weights = {name: value.numpy() for name, value in start().pretrained().state_dict().items()}
    weights["conv_stem.weight"] = weights["conv_stem.weight"] + 1.0
    begin = dataclasses.replace(start(), clip_weights=weights)
    for method, moved in (("wise_ft", True), ("flyp", True), ("full_imagenet", False)):
        kernel = built(method, begin).encoder.state_dict()["conv_stem.weight"].numpy()
        assert np.array_equal(kernel, weights["conv_stem.weight"]) == moved


def test_more_blocks_than_the_tower_has_are_refused() -> None:
    config = FAST.model_copy(update={"last_blocks": 8})
    with pytest.raises(UserFacingError, match=r"pixels\.last_blocks.*wanted 8 of the encoder's 7"):
        find_end_to_end_method("last_blocks").build(start(), config, 0)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="method is one of"):
        find_end_to_end_method("dropout")


def test_two_photographs_of_one_class_by_hand() -> None:
    emb = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    target = torch.tensor([4, 4, 2])
    scale = torch.tensor(2.0)
    # Row of a class-4 photograph: logits 2, 2, 0, wanted ½, ½, 0; of the other: 0, 0, 2.
    own = -(2.0 - math.log(2 * math.exp(2) + 1))
    other = -(2.0 - math.log(math.exp(2) + 2))
    wanted = (2 * own + other) / 3
    assert float(class_contrast(emb, emb, target, scale)) == pytest.approx(wanted, abs=1e-6)


def test_different_classes_give_the_loss_of_clip() -> None:
    generator = torch.Generator().manual_seed(0)
    image, text = (
        functional.normalize(torch.randn(5, 8, generator=generator), dim=1) for _ in range(2)
    )
    scale = torch.tensor(7.0)
    wanted = ClipLoss()(image, text, scale)
    got = class_contrast(image, text, torch.arange(5), scale)
    np.testing.assert_allclose(float(got), float(wanted), rtol=1e-6)


def test_the_prompts_of_ones_own_class_are_not_pushed_away() -> None:
    image = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    text = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    shared = class_contrast(image, text, torch.tensor([1, 1]), torch.tensor(50.0))
    text.requires_grad_(True)
    class_contrast(image, text, torch.tensor([1, 1]), torch.tensor(50.0)).backward()
    assert float(shared) == pytest.approx(math.log(2))
    assert text.grad is not None
    assert float(text.grad.abs().max()) < 1e-5


BEFORE = {"w": torch.tensor([0.1, 2.0]), "seen": torch.tensor(3)}
AFTER = {"w": torch.tensor([0.3, 0.0]), "seen": torch.tensor(9)}


def test_the_ends_of_the_line_are_the_models_themselves() -> None:
    assert torch.equal(WiseFt.interpolate(BEFORE, AFTER, 0.0)["w"], BEFORE["w"])
    assert torch.equal(WiseFt.interpolate(BEFORE, AFTER, 1.0)["w"], AFTER["w"])


def test_a_quarter_of_the_way_by_hand() -> None:
    between = WiseFt.interpolate(BEFORE, AFTER, 0.25)
    torch.testing.assert_close(between["w"], torch.tensor([0.15, 1.5]))
    assert int(between["seen"]) == 9


def test_other_entries_are_refused() -> None:
    with pytest.raises(ValueError, match="stand in one state alone"):
        WiseFt.interpolate(BEFORE, {"w": AFTER["w"]}, 0.5)


def test_each_weight_of_the_configuration_is_a_candidate_with_its_name() -> None:
    assert [WiseFt().describe(name) for name in WiseFt().candidates(BEFORE, AFTER, FAST)] == [
        {"alpha": 0.0}, {"alpha": 0.5}, {"alpha": 1.0},
    ]  # fmt: skip


def outputs(tower: nn.Module) -> np.ndarray:
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return tower.eval()(pixels).numpy()


def test_updates_that_start_at_zero_change_nothing() -> None:
    tower = tiny_vit()
    before = outputs(tower)
    Lora.inject(tower, rank=2, alpha=4.0, seed=0)
    np.testing.assert_array_equal(outputs(tower), before)


def test_only_the_updates_train() -> None:
    tower = tiny_vit()
    Lora.inject(tower, rank=2, alpha=4.0, seed=0)
    trained = {name for name, value in tower.named_parameters() if value.requires_grad}
    layers = {f"blocks.{b}.attn.{layer}" for b in (0, 1) for layer in ("qkv", "proj")}
    assert trained == {f"{layer}.{part}" for layer in layers for part in ("down", "up")}


def test_merged_layers_do_what_the_updated_ones_did() -> None:
    plain = tiny_vit()
    tower = deepcopy(plain)
    Lora.inject(tower, rank=2, alpha=4.0, seed=0)
    for module in tower.modules():
        if isinstance(module, LowRankLinear):
            module.up.data.normal_(generator=torch.Generator().manual_seed(1))
    updated = outputs(tower)
    assert np.abs(updated - outputs(plain)).max() > 1e-3
    Lora().finish(tower)
    assert tower.state_dict().keys() == plain.state_dict().keys()
    np.testing.assert_allclose(outputs(tower), updated, atol=1e-5)


def test_an_update_by_hand() -> None:
    base = nn.Linear(2, 1)
    base.weight.data = torch.tensor([[1.0, 2.0]])
    base.bias.data = torch.tensor([0.5])
    layer = LowRankLinear(base, rank=1, alpha=3.0, seed=0)
    layer.down.data = torch.tensor([[1.0, -1.0]])
    layer.up.data = torch.tensor([[2.0]])
    # 1·4 + 2·1 + 0.5 + 3 · 2 · (4 − 1)
    assert float(layer(torch.tensor([[4.0, 1.0]])).detach()) == pytest.approx(24.5)


def test_a_tower_without_attention_is_refused() -> None:
    with pytest.raises(UserFacingError, match="no attention layers"):
        Lora.inject(start().pretrained(), rank=2, alpha=4.0, seed=0)
