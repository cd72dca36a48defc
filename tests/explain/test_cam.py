"""Class activation maps and guided backpropagation: hand-worked maps, naive twins, the library."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM, GuidedBackpropReLUModel, ScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from torch import nn

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.cam import (
    class_activation_map,
    guided_gradients,
    principal_map,
)
from sports_clip_pipeline.explain.networks import find_layer
from sports_clip_pipeline.pipelines.cam.config import METHODS

CAM_METHODS = [name for name in METHODS if name != "guided"]
activation_map = partial(class_activation_map, image="a.jpg")
guided = partial(guided_gradients, image="a.jpg")


def hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._backward_hooks) for part in module.modules())


@pytest.mark.parametrize(
    ("target", "heat"),
    [
        # Weights 1/4 and -2/4; red - 2·green = [[4, 1], [1, -4]]; negatives dropped; divided by 4.
        (0, [[1.0, 0.25], [0.25, 0.0]]),
        (1, [[0.0, 0.0], [0.0, 1.0]]),
        # Scores 0 and 1 are opposite, so 0 less 1 is red less twice green again, twice as large.
        ((0, 1), [[1.0, 0.25], [0.25, 0.0]]),
        ((1, 0), [[0.0, 0.0], [0.0, 1.0]]),
    ],
)
def test_the_map_is_the_hand_worked_one(red_not_green, pixels, target, heat):
    found = activation_map(red_not_green, red_not_green.maps, pixels, target)
    np.testing.assert_allclose(found, heat, rtol=1e-6, atol=1e-6)
    assert found.dtype == np.float32


def test_a_coarse_map_is_upsampled_from_the_centres_of_its_cells(red_not_green):
    coarse = nn.Sequential(nn.AvgPool2d(2), red_not_green)
    pixels = torch.zeros(1, 3, 4, 4)
    pixels[0, 0, :, 2:] = 1.0  # red on the right: columns 0 and 1 at half resolution
    heat = activation_map(coarse, red_not_green.maps, pixels, 0)
    np.testing.assert_allclose(heat, np.tile([0.0, 0.25, 0.75, 1.0], (4, 1)), atol=1e-6)


def test_a_map_without_positive_evidence_is_zero(red_not_green):
    green = torch.zeros(1, 3, 2, 2)
    green[0, 1, 0, 0] = 1.0
    assert not activation_map(red_not_green, red_not_green.maps, green, 0).any()


def test_a_zero_gradient_is_an_error_unless_not_strict(red_not_green, pixels):
    with pytest.raises(UserFacingError, match=r"explanation of a\.jpg: .*gradient is zero"):
        activation_map(red_not_green, red_not_green.maps, pixels, 2)
    assert not activation_map(red_not_green, red_not_green.maps, pixels, 2, strict=False).any()


class RootOfMean(nn.Module):
    """Finite score, infinite gradient where a channel is empty."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.zeros_(self.maps.weight)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.maps(pixels).mean(dim=(2, 3)).sqrt()


def test_a_gradient_that_is_not_finite_is_an_error_that_names_the_image(pixels):
    module = RootOfMean()
    with pytest.raises(UserFacingError, match=r"a\.jpg: .*not finite"):
        activation_map(module, module.maps, pixels, 0)


@pytest.mark.parametrize("method", ["gradcam", "eigencam", "scorecam"])
def test_inputs_are_checked_with_and_without_gradients(red_not_green, pixels, method):
    draw = partial(activation_map, red_not_green, method=method)
    with pytest.raises(UserFacingError, match=r"a\.jpg: it does not pass the chosen layer"):
        draw(red_not_green.unused, pixels, 0)
    with pytest.raises(UserFacingError, match=r"a\.jpg: .*not a map"):
        draw(red_not_green.head, pixels, 0)
    with pytest.raises(IndexError):
        draw(red_not_green.maps, pixels, 3)
    with pytest.raises(ValueError, match="one image"):
        draw(red_not_green.maps, pixels.repeat(2, 1, 1, 1), 0)
    pixels[0, 0, 0, 0] = torch.nan
    with pytest.raises(UserFacingError, match=r"a\.jpg: .*(nan|not finite)"):
        draw(red_not_green.maps, pixels, 0)


class Outer(nn.Module):
    """Runs a network and gives what a function makes of its scores."""

    def __init__(self, inner: nn.Module, change: Callable) -> None:
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.change(self.inner(pixels))


def test_an_index_error_of_the_network_is_raised_and_leaves_no_hooks(red_not_green, pixels):
    failing = Outer(red_not_green, lambda scores: list(scores)[9])
    with pytest.raises(IndexError, match="list index"):
        activation_map(failing, red_not_green.maps, pixels, 0)
    assert hooks(failing) == 0


def test_a_score_that_does_not_depend_on_the_layer_is_an_error(red_not_green, pixels):
    module = Outer(red_not_green, torch.detach)
    with pytest.raises(UserFacingError, match=r"a\.jpg: no gradient of score 0"):
        activation_map(module, red_not_green.maps, pixels, 0)


def test_the_module_is_left_unchanged(red_not_green, pixels):
    red_not_green.train()
    red_not_green.unused.eval()
    red_not_green.head.requires_grad_(False)
    activation_map(red_not_green, red_not_green.maps, pixels, 0)
    assert red_not_green.training and not red_not_green.unused.training
    assert red_not_green.maps.weight.requires_grad and not red_not_green.head.weight.requires_grad
    assert all(weight.grad is None for weight in red_not_green.parameters())
    assert hooks(red_not_green) == 0


def test_an_in_place_activation_after_the_layer_does_not_alter_the_map(pixels):
    def network(in_place: bool) -> nn.Sequential:
        torch.manual_seed(0)
        parts = [nn.Conv2d(3, 4, 1), nn.ReLU6(inplace=in_place), nn.Flatten(), nn.Linear(16, 2)]
        return nn.Sequential(*parts)

    nets = network(False), network(True)
    np.testing.assert_array_equal(*(activation_map(net, net[0], pixels, 0) for net in nets))


def test_it_works_under_no_grad(red_not_green, pixels):
    with torch.no_grad():
        assert activation_map(red_not_green, red_not_green.maps, pixels, 0).max() == 1.0


def test_on_the_packaged_encoder_it_equals_the_library(lite0):
    pixels = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with GradCAM(lite0, [lite0.bn2]) as cam:
        theirs = cam(pixels, [ClassifierOutputTarget(7)])[0]
    lite0.zero_grad()
    ours = activation_map(lite0, find_layer(lite0), pixels, 7)
    np.testing.assert_allclose(ours, theirs / theirs.max(), atol=1e-5)


@pytest.fixture
def net() -> nn.Sequential:
    """The positions of its last map have different weights: its head is not a mean."""
    torch.manual_seed(3)
    convolutions = nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.ReLU()
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(4 * 36, 3)).eval()


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(4))


def map_and_gradient(net: nn.Sequential, pixels: torch.Tensor, target) -> list[np.ndarray]:
    maps = net[:4](pixels).detach().requires_grad_()
    scores = net[4:](maps)[0]
    score = scores[target] if isinstance(target, int) else scores[target[0]] - scores[target[1]]
    (gradient,) = torch.autograd.grad(score, maps)
    return [values[0].detach().numpy().astype(float) for values in (maps, gradient)]


def scaled(heat: np.ndarray) -> np.ndarray:
    positive = np.maximum(heat, 0)
    positive -= positive.min()
    return positive / max(positive.max(), 1e-12)


def twin(name: str, net: nn.Sequential, pixels: torch.Tensor, target) -> np.ndarray:
    maps, gradient = map_and_gradient(net, pixels, target)
    if name == "gradcam":
        return scaled(sum(g.mean() * a for a, g in zip(maps, gradient, strict=True)))
    if name == "hirescam":
        return scaled((gradient * maps).sum(axis=0))
    if name == "layercam":
        return scaled((np.maximum(gradient, 0) * maps).sum(axis=0))
    if name == "eigencam":
        positions = maps.reshape(4, -1).T
        positions = positions - positions.mean(axis=0)
        component = (positions @ np.linalg.svd(positions)[2][0]).reshape(6, 6)
        return scaled(component if component.max() > -component.min() else -component)
    scores = []
    for one in maps:  # one channel at a time
        mask = (one - one.min()) / (one.max() - one.min() + 1e-8)
        scores.append(net(pixels * torch.from_numpy(mask).float())[0, target].item())
    weights = np.exp(scores) / np.exp(scores).sum()
    return scaled(sum(w * a for w, a in zip(weights, maps, strict=True)))


@pytest.mark.parametrize("name", CAM_METHODS)
def test_each_method_equals_its_naive_twin(net, image, name):
    targets = [0, 1, 2, *([(2, 0)] if name in ("gradcam", "hirescam", "layercam") else [])]
    maps = [activation_map(net, net[3], image, target, method=name) for target in targets]
    for target, heat in zip(targets, maps, strict=True):
        np.testing.assert_allclose(heat, twin(name, net, image, target), atol=2e-5)
    assert np.any(maps)


@pytest.mark.parametrize("name", METHODS)
def test_every_map_lies_between_0_and_1_and_reaches_1(net, image, name):
    heat = activation_map(net, net[3], image, 0, method=name)
    assert heat.shape == (6, 6) and heat.dtype == np.float32
    assert heat.min() >= 0 and heat.max() == 1.0


def test_the_guided_map_is_the_absolute_guided_gradient(net, image):
    heat = activation_map(net, net[3], image, 1, method="guided")
    sizes = np.abs(guided(net, image, 1)).sum(axis=2)
    np.testing.assert_allclose(heat, sizes / sizes.max(), rtol=1e-6)


def test_scorecam_equals_the_library_without_its_progress_bar(net, image, capfd):
    theirs = ScoreCAM(net, [net[3]])(image, [ClassifierOutputTarget(2)])[0]
    capfd.readouterr()
    ours = activation_map(net, net[3], image, 2, method="scorecam")
    np.testing.assert_allclose(ours, theirs / theirs.max(), atol=1e-5)
    assert capfd.readouterr() == ("", "")


def test_the_principal_map_equals_the_library_up_to_its_sign():
    maps = np.random.default_rng(0).normal(size=(20, 5, 4)).astype(np.float32)
    theirs, ours = get_2d_projection(maps[None])[0], principal_map(maps)
    sign = np.sign((theirs * ours).sum())
    np.testing.assert_allclose(ours, sign * theirs, atol=1e-4)


def test_the_sign_of_the_principal_map_highlights_the_smaller_part(red_not_green):
    activations = np.zeros((3, 4, 4), np.float32)
    activations[:, 1, 2] = [5.0, 1.0, 2.0]  # one position unlike the fifteen others
    for maps in (activations, -activations):
        heat = principal_map(maps)
        assert np.unravel_index(heat.argmax(), heat.shape) == (1, 2)
        assert heat.max() > -heat.min()
    # -A has the components of A: where A's ends tie, the first position decides.
    tie = np.array([[[1.0, -1.0]]], np.float32)
    np.testing.assert_allclose(principal_map(tie), [[1.0, -1.0]])
    np.testing.assert_allclose(principal_map(-tie), [[1.0, -1.0]])
    constant, maps = torch.ones(1, 3, 4, 4), red_not_green.maps
    assert not activation_map(red_not_green, maps, constant, 0, method="eigencam").any()


def test_neither_hooks_nor_tensors_accumulate(net, image, lite0, living_tensors):
    def explain(times: int) -> None:
        for number in range(times):
            pixels = torch.full((1, 3, 64, 64), number / 20)
            activation_map(lite0, lite0.bn2, pixels, number)
            for name in METHODS:
                activation_map(net, net[3], image, 1, method=name)

    explain(2)
    before = living_tensors()
    explain(10)
    assert living_tensors() == before
    assert hooks(lite0) == hooks(net) == 0


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


def test_the_guided_gradient_is_the_hand_worked_one():
    # score = 2·relu6(x0) - 3·relu6(x1) + relu6(x2) with x = 1, 1, 7: the negative one and the
    # clipped one are stopped, the first passes.
    module = nn.Sequential(nn.ReLU6(), nn.Flatten(), nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        module[2].weight.copy_(torch.tensor([[2.0, -3.0, 1.0]]))
    pixels = torch.tensor([1.0, 1.0, 7.0]).reshape(1, 3, 1, 1)
    np.testing.assert_array_equal(guided(module, pixels, 0), [[[2.0, 0.0, 0.0]]])
    np.testing.assert_array_equal(plain_gradients(module, pixels, 0), [[[2.0, -3.0, 0.0]]])


def test_guided_relu_equals_the_library_and_relu6_below_six_is_guided_alike(noise):
    ours = guided(convnet(nn.ReLU), noise, 1)
    theirs = GuidedBackpropReLUModel(convnet(nn.ReLU))(noise.clone(), 1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
    assert not np.allclose(ours, plain_gradients(convnet(nn.ReLU), noise, 1))
    np.testing.assert_allclose(guided(convnet(nn.ReLU6), noise, 1), ours, rtol=1e-5, atol=1e-8)


def test_relu6_is_guided_where_the_library_gives_the_plain_gradient(noise, lite0):
    plain = plain_gradients(convnet(nn.ReLU6), noise, 1)
    theirs = GuidedBackpropReLUModel(convnet(nn.ReLU6))(noise.clone(), 1)
    np.testing.assert_allclose(theirs, plain, rtol=1e-6, atol=1e-9)
    ours = guided(convnet(nn.ReLU6), noise, 1)
    assert not np.allclose(ours, plain, atol=1e-3 * np.abs(plain).max())
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pair = guided(lite0, pixels, 7).ravel(), plain_gradients(lite0, pixels, 7).ravel()
    assert abs(np.corrcoef(*pair)[0, 1]) < 0.9


def test_no_hook_is_left_and_a_shared_activation_is_guided_in_both_positions(noise):
    module = convnet(nn.ReLU6)
    before = guided(module, noise, 0)
    module[2][1] = module[1]
    np.testing.assert_array_equal(guided(module, noise, 0), before)
    with pytest.raises(IndexError):
        guided(module, noise, 4)
    assert hooks(module) == 0


def zero_head(module: nn.Sequential, noise: torch.Tensor) -> None:
    nn.init.zeros_(module[-1].weight)


def infinite_pixel(module: nn.Sequential, noise: torch.Tensor) -> None:
    noise[0, 0, 0, 0] = torch.inf


@pytest.mark.parametrize(
    ("activation", "damage", "error"),
    [
        (nn.SiLU, lambda *_: None, r"no ReLU.*cam\.guided"),
        (nn.ReLU, zero_head, r"a\.jpg: the guided gradient is zero"),
        (nn.ReLU, infinite_pixel, r"a\.jpg: "),
    ],
)
def test_guided_gradients_that_explain_nothing_are_errors(
    noise, activation, damage: Callable[..., None], error
):
    module = convnet(activation)
    damage(module, noise)
    with pytest.raises(UserFacingError, match=error):
        guided(module, noise, 0)


def test_pixels_and_weights_keep_no_gradient_and_tensors_do_not_accumulate(noise, living_tensors):
    module = convnet(nn.ReLU6)
    guided(module, noise, 0)
    before = living_tensors()
    for _ in range(10):
        guided(module, noise, 0)
    assert living_tensors() == before
    assert not noise.requires_grad and noise.grad is None
    assert all(weight.grad is None and weight.requires_grad for weight in module.parameters())
