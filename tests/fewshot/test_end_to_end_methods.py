import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.clip.projections import unit_norm
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.fewshot.end_to_end_methods import (
    METHODS,
    LowRankLinear,
    Start,
    WiseFt,
    class_contrast,
)
from sports_clip_pipeline.pipelines.finetune.config import END_TO_END_METHODS
from sports_clip_pipeline.training.classification import ImageClassifier
from tests.fewshot.end_to_end_factories import (
    FAST,
    pretrained,
    prompts,
    start,
    tiny_vit,
    vit_start,
)

PIXELS = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def built(method: str, begin: Start | None = None, seed: int = 0) -> ImageClassifier:
    own = vit_start() if method == "lora" else start()
    return METHODS[method].build(begin or own, FAST, seed).eval()


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
def test_a_zero_shot_start_classifies_by_cosines_to_the_zero_shot_weights(method: str) -> None:
    model, zero_shot = built(method), pretrained(16 if method == "lora" else 1280)
    with torch.no_grad():
        features, logits = model.features(PIXELS).numpy(), model(PIXELS)
    embedded = unit_norm(features @ zero_shot.image_weight.T + zero_shot.image_bias)
    np.testing.assert_allclose(logits, 10.0 * embedded @ zero_shot.zero_shot_weights.T, atol=1e-4)


def test_the_contrastive_start_classifies_by_cosines_to_the_mean_prompts() -> None:
    texts = prompts()
    embedded = unit_norm(texts.features @ texts.text_weight.T).reshape(3, 2, -1)
    weights = built("flyp").head.class_weights().detach()
    np.testing.assert_allclose(weights, 10.0 * unit_norm(embedded.mean(axis=1)), atol=1e-4)


def test_random_weights_are_not_imagenets_and_follow_the_seed() -> None:
    models = [built("full_random", seed=seed) for seed in (0, 0, 1)] + [built("full_imagenet")]
    first, same, other, imagenet = (m.encoder.state_dict()["conv_stem.weight"] for m in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert not torch.allclose(first, imagenet, atol=1e-2)


@pytest.mark.parametrize(
    ("method", "starts_there"), [("wise_ft", True), ("flyp", True), ("full_imagenet", False)]
)
def test_zero_shot_starts_from_the_encoder_that_pretraining_trained(
    method: str, starts_there: bool
) -> None:
    weights = {n: value.numpy() for n, value in start().imagenet_encoder().state_dict().items()}
    weights["conv_stem.weight"] = weights["conv_stem.weight"] + 1.0
    model = built(method, replace(start(), clip_weights=weights))
    kernel = model.encoder.state_dict()["conv_stem.weight"].numpy()
    assert np.array_equal(kernel, weights["conv_stem.weight"]) == starts_there


def test_more_blocks_than_the_encoder_has_are_refused() -> None:
    config = FAST.model_copy(update={"last_blocks": 8})
    with pytest.raises(UserFacingError, match=r"last_blocks.*wanted 8 of the encoder's 7"):
        METHODS["last_blocks"].build(start(), config, 0)


def test_the_contrastive_loss_of_two_images_of_one_class_by_hand() -> None:
    emb = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    # Row of a class-4 image: logits 2, 2, 0, targets ½, ½, 0; of the other: 0, 0, 2.
    own = -(2.0 - math.log(2 * math.exp(2) + 1))
    other = -(2.0 - math.log(math.exp(2) + 2))
    loss = class_contrast(emb, emb, torch.tensor([4, 4, 2]), torch.tensor(2.0))
    assert float(loss) == pytest.approx((2 * own + other) / 3, abs=1e-6)


def test_the_contrastive_loss_of_different_classes_is_that_of_clip() -> None:
    generator = torch.Generator().manual_seed(0)
    image, text = (
        functional.normalize(torch.randn(5, 8, generator=generator), dim=1) for _ in range(2)
    )
    scale = torch.tensor(7.0)
    loss = class_contrast(image, text, torch.arange(5), scale)
    np.testing.assert_allclose(float(loss), float(ClipLoss()(image, text, scale)), rtol=1e-6)


def test_prompts_of_an_images_own_class_are_not_pushed_away() -> None:
    image = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    text = image.clone().requires_grad_(True)
    loss = class_contrast(image, text, torch.tensor([1, 1]), torch.tensor(50.0))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(2))
    assert text.grad is not None
    assert float(text.grad.abs().max()) < 1e-5


BEFORE = {"w": torch.tensor([0.1, 2.0]), "steps": torch.tensor(3)}
AFTER = {"w": torch.tensor([0.3, 0.0]), "steps": torch.tensor(9)}


@pytest.mark.parametrize(("alpha", "w"), [(0.0, [0.1, 2.0]), (0.25, [0.15, 1.5]), (1.0, [0.3, 0])])
def test_interpolated_weights_by_hand(alpha: float, w: list[float]) -> None:
    between = WiseFt.interpolate(BEFORE, AFTER, alpha)
    torch.testing.assert_close(between["w"], torch.tensor(w))
    assert int(between["steps"]) == 9


def test_each_alpha_of_the_configuration_is_a_candidate() -> None:
    assert list(WiseFt().candidates(BEFORE, AFTER, FAST)) == [(0.0,), (0.5,), (1.0,)]


def outputs(encoder: nn.Module) -> np.ndarray:
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return encoder.eval()(pixels).numpy()


def test_low_rank_updates_start_at_zero_and_train_alone() -> None:
    encoder = built("lora").encoder
    np.testing.assert_array_equal(outputs(encoder), outputs(tiny_vit()))
    trained = {name for name, value in encoder.named_parameters() if value.requires_grad}
    layers = {f"blocks.{b}.attn.{layer}" for b in (0, 1) for layer in ("qkv", "proj")}
    assert trained == {f"{layer}.{part}" for layer in layers for part in ("down", "up")}


def test_merged_layers_compute_the_same_as_updated_ones() -> None:
    plain, encoder = tiny_vit(), built("lora").encoder
    for module in encoder.modules():
        if isinstance(module, LowRankLinear):
            module.up.data.normal_(generator=torch.Generator().manual_seed(1))
    updated = outputs(encoder)
    assert np.abs(updated - outputs(plain)).max() > 1e-3
    METHODS["lora"].finish(encoder)
    assert encoder.state_dict().keys() == plain.state_dict().keys()
    np.testing.assert_allclose(outputs(encoder), updated, atol=1e-5)


def test_a_low_rank_update_by_hand() -> None:
    base = nn.Linear(2, 1)
    base.weight.data = torch.tensor([[1.0, 2.0]])
    base.bias.data = torch.tensor([0.5])
    layer = LowRankLinear(base, rank=1, alpha=3.0, seed=0)
    layer.down.data = torch.tensor([[1.0, -1.0]])
    layer.up.data = torch.tensor([[2.0]])
    # 1·4 + 2·1 + 0.5 + 3 · 2 · (4 − 1)
    assert float(layer(torch.tensor([[4.0, 1.0]])).detach()) == pytest.approx(24.5)
