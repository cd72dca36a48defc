from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GuidedBackpropReLUModel
from torch import nn

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.cam import guided_activations, guided_gradients


def convnet(activation: type[nn.Module]) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        activation(),
        nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), activation()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()


def plain_gradients(module: nn.Module, pixels: torch.Tensor, target: int) -> np.ndarray:
    leaf = pixels.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(module(leaf)[0, target], leaf)
    return gradient[0].numpy().transpose(1, 2, 0)


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(2))


def test_the_gradient_is_the_one_worked_out_by_hand():
    # score = 2·relu6(x0) - 3·relu6(x1) + relu6(x2) with x = 1, 1, 7: the negative one and the
    # clipped one are stopped, the first passes.
    module = nn.Sequential(nn.ReLU6(), nn.Flatten(), nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        module[2].weight.copy_(torch.tensor([[2.0, -3.0, 1.0]]))
    pixels = torch.tensor([1.0, 1.0, 7.0]).reshape(1, 3, 1, 1)
    values = guided_gradients(module, pixels, 0, image="a.jpg")
    np.testing.assert_array_equal(values, [[[2.0, 0.0, 0.0]]])
    np.testing.assert_array_equal(plain_gradients(module, pixels, 0), [[[2.0, -3.0, 0.0]]])


def test_with_relu_alone_it_is_what_the_library_says(noise):
    ours = guided_gradients(convnet(nn.ReLU), noise, 1, image="a.jpg")
    theirs = GuidedBackpropReLUModel(convnet(nn.ReLU))(noise.clone(), 1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
    assert not np.allclose(ours, plain_gradients(convnet(nn.ReLU), noise, 1))


def test_relu6_is_guided_where_the_library_gives_the_plain_gradient(noise):
    plain = plain_gradients(convnet(nn.ReLU6), noise, 1)
    theirs = GuidedBackpropReLUModel(convnet(nn.ReLU6))(noise.clone(), 1)
    np.testing.assert_allclose(theirs, plain, rtol=1e-6, atol=1e-9)
    ours = guided_gradients(convnet(nn.ReLU6), noise, 1, image="a.jpg")
    assert not np.allclose(ours, plain, atol=1e-3 * np.abs(plain).max())


def test_below_six_relu6_is_guided_like_relu(noise):
    like_relu = guided_gradients(convnet(nn.ReLU), noise, 1, image="a.jpg")
    np.testing.assert_allclose(
        guided_gradients(convnet(nn.ReLU6), noise, 1, image="a.jpg"),
        like_relu,
        rtol=1e-5,
        atol=1e-8,
    )


def test_on_the_packaged_tower_it_differs_from_the_plain_gradient(lite0, noise):
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    guided = guided_gradients(lite0, pixels, 7, image="a.jpg").ravel()
    plain = plain_gradients(lite0, pixels, 7).ravel()
    assert abs(np.corrcoef(guided, plain)[0, 1]) < 0.9


def test_the_very_same_activations_are_put_back(lite0):
    before = dict(lite0.named_modules())
    with guided_activations(lite0) as count:
        assert count == sum(isinstance(part, nn.ReLU6) for part in before.values())
        assert not any(isinstance(part, nn.ReLU6) for part in lite0.modules())
    after = dict(lite0.named_modules())
    assert list(after) == list(before) and all(after[name] is before[name] for name in before)


def test_they_are_put_back_after_an_error_too(noise):
    module = convnet(nn.ReLU6)
    before = list(module.modules())
    with pytest.raises(ValueError, match="outside the module's 4 scores"):
        guided_gradients(module, noise, 4, image="a.jpg")
    assert all(now is then for now, then in zip(module.modules(), before, strict=True))


def test_one_activation_shared_by_two_places_is_guided_in_both():
    shared = nn.ReLU()
    module = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared)})
    with guided_activations(module) as count:
        assert count == 2
    assert module["a"] is shared and module["b"][0] is shared


def test_a_network_without_relu_is_refused_rather_than_given_plain_gradients(noise):
    with pytest.raises(UserFacingError, match=r"no ReLU.*cam\.guided"):
        guided_gradients(convnet(nn.SiLU), noise, 0, image="a.jpg")


def test_a_zero_gradient_is_an_error_that_names_the_image(noise):
    module = convnet(nn.ReLU)
    nn.init.zeros_(module[-1].weight)
    with pytest.raises(UserFacingError, match=r"a\.jpg: the guided gradient is zero"):
        guided_gradients(module, noise, 0, image="a.jpg")


def test_what_is_not_finite_is_an_error_that_names_the_image(noise):
    noise[0, 0, 0, 0] = torch.inf
    with pytest.raises(UserFacingError, match=r"a\.jpg: "):
        guided_gradients(convnet(nn.ReLU), noise, 0, image="a.jpg")


def test_the_pixels_and_weights_keep_no_gradient_and_tensors_do_not_pile_up(noise, living_tensors):
    module = convnet(nn.ReLU6)
    guided_gradients(module, noise, 0, image="a.jpg")
    before = living_tensors()
    for _ in range(10):
        guided_gradients(module, noise, 0, image="a.jpg")
    assert living_tensors() == before
    assert not noise.requires_grad and noise.grad is None
    assert all(weight.grad is None and weight.requires_grad for weight in module.parameters())
