from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.cam import class_activation_map, stands_out
from sports_clip_pipeline.explain.targets import find_layer


def hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._backward_hooks) for part in module.modules())


def test_the_map_is_the_one_worked_out_by_hand(red_not_green, pixels):
    # Weights 1/4 and -2/4; red - 2·green = [[4, 1], [1, -4]]; negatives dropped; divided by 4.
    heat = class_activation_map(red_not_green, red_not_green.maps, pixels, 0, image="a.jpg")
    np.testing.assert_allclose(heat, [[1.0, 0.25], [0.25, 0.0]], rtol=1e-6)
    assert heat.dtype == np.float32


def test_the_other_score_lights_up_the_other_place(red_not_green, pixels):
    heat = class_activation_map(red_not_green, red_not_green.maps, pixels, 1, image="a.jpg")
    np.testing.assert_allclose(heat, [[0.0, 0.0], [0.0, 1.0]], atol=1e-6)


def test_a_coarse_map_is_spread_over_the_image_from_the_middle_of_its_cells(red_not_green):
    coarse = nn.Sequential(nn.AvgPool2d(2), red_not_green)
    pixels = torch.zeros(1, 3, 4, 4)
    pixels[0, 0, :, 2:] = 1.0  # red on the right: columns 0 and 1 at half resolution
    heat = class_activation_map(coarse, red_not_green.maps, pixels, 0, image="a.jpg")
    np.testing.assert_allclose(heat, np.tile([0.0, 0.25, 0.75, 1.0], (4, 1)), atol=1e-6)


def test_a_map_without_positive_evidence_is_all_zero_and_says_so(red_not_green):
    green = torch.zeros(1, 3, 2, 2)
    green[0, 1, 0, 0] = 1.0
    heat = class_activation_map(red_not_green, red_not_green.maps, green, 0, image="a.jpg")
    assert not heat.any() and not stands_out(heat)


def test_a_zero_gradient_is_an_error_that_names_the_image(red_not_green, pixels):
    with pytest.raises(UserFacingError, match=r"explanation of a\.jpg: .*gradient is zero"):
        class_activation_map(red_not_green, red_not_green.maps, pixels, 2, image="a.jpg")


def test_pixels_that_are_not_finite_are_an_error_that_names_the_image(red_not_green, pixels):
    pixels[0, 0, 0, 0] = torch.nan
    with pytest.raises(UserFacingError, match=r"a\.jpg: score 0 is nan"):
        class_activation_map(red_not_green, red_not_green.maps, pixels, 0, image="a.jpg")


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
        class_activation_map(module, module.maps, pixels, 0, image="a.jpg")


def test_a_layer_that_does_not_reach_the_score_is_an_error(red_not_green, pixels):
    with pytest.raises(UserFacingError, match=r"a\.jpg: no gradient"):
        class_activation_map(red_not_green, red_not_green.unused, pixels, 0, image="a.jpg")


def test_a_layer_without_a_map_is_an_error(red_not_green, pixels):
    with pytest.raises(UserFacingError, match=r"a\.jpg: .*not a map"):
        class_activation_map(red_not_green, red_not_green.head, pixels, 0, image="a.jpg")


def test_a_score_that_does_not_exist_is_not_swallowed(red_not_green, pixels):
    with pytest.raises(ValueError, match="outside the module's 3 scores"):
        class_activation_map(red_not_green, red_not_green.maps, pixels, 3, image="a.jpg")


def test_several_images_at_once_are_refused(red_not_green, pixels):
    with pytest.raises(ValueError, match="one image"):
        class_activation_map(
            red_not_green, red_not_green.maps, pixels.repeat(2, 1, 1, 1), 0, image="a.jpg"
        )


class FailsInside(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.inner(pixels)
        raise IndexError("from within")


def test_an_index_error_from_within_comes_out_and_leaves_no_hooks(red_not_green, pixels):
    failing = FailsInside(red_not_green)
    with pytest.raises(IndexError, match="from within"):
        class_activation_map(failing, red_not_green.maps, pixels, 0, image="a.jpg")
    assert hooks(failing) == 0


def test_the_module_is_left_as_it_was(red_not_green, pixels):
    red_not_green.train()
    red_not_green.unused.eval()
    red_not_green.head.requires_grad_(False)
    class_activation_map(red_not_green, red_not_green.maps, pixels, 0, image="a.jpg")
    assert red_not_green.training and not red_not_green.unused.training
    assert red_not_green.maps.weight.requires_grad and not red_not_green.head.weight.requires_grad
    assert all(weight.grad is None for weight in red_not_green.parameters())
    assert hooks(red_not_green) == 0


def test_an_in_place_activation_after_the_layer_does_not_alter_the_map(pixels):
    def network(in_place: bool) -> nn.Sequential:
        torch.manual_seed(0)
        parts = [nn.Conv2d(3, 4, 1), nn.ReLU6(inplace=in_place), nn.Flatten(), nn.Linear(16, 2)]
        return nn.Sequential(*parts)

    maps = [
        class_activation_map(net, net[0], pixels, 0, image="a.jpg")
        for net in (network(False), network(True))
    ]
    np.testing.assert_array_equal(*maps)


def test_it_works_where_autograd_is_switched_off(red_not_green, pixels):
    with torch.no_grad():
        heat = class_activation_map(red_not_green, red_not_green.maps, pixels, 0, image="a.jpg")
    assert heat.max() == 1.0


def test_on_the_packaged_tower_it_is_what_the_library_says(lite0):
    pixels = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with GradCAM(lite0, [lite0.bn2]) as cam:
        theirs = cam(pixels, [ClassifierOutputTarget(7)])[0]
    lite0.zero_grad()
    ours = class_activation_map(lite0, find_layer(lite0), pixels, 7, image="a.jpg")
    np.testing.assert_allclose(ours, theirs / theirs.max(), atol=1e-5)


def test_neither_hooks_nor_tensors_pile_up_over_many_images(lite0, living_tensors):
    def explain(times: int) -> None:
        for number in range(times):
            pixels = torch.full((1, 3, 64, 64), number / 20)
            class_activation_map(lite0, lite0.bn2, pixels, number, image="a.jpg")

    explain(2)
    before = living_tensors()
    explain(20)
    assert living_tensors() == before
    assert hooks(lite0) == 0
