"""Each method against its slow, obvious twin on tiny networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_grad_cam import ScoreCAM
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from torch import nn

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.activation_maps import (
    class_activation_map,
    class_activation_maps,
    stands_out,
)
from sports_clip_pipeline.explain.guided import guided_gradients
from sports_clip_pipeline.explain.library_maps import principal_map
from sports_clip_pipeline.pipelines.cam.config import METHODS

MAPS = [name for name in METHODS if name != "guided"]


@pytest.fixture
def convnet() -> nn.Sequential:
    """The places of its last map matter in different ways: its head is not a mean."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(5, 4, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 36, 3),
    ).eval()


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
        places = maps.reshape(4, -1).T
        places = places - places.mean(axis=0)
        component = (places @ np.linalg.svd(places)[2][0]).reshape(6, 6)
        return scaled(component if component.max() > -component.min() else -component)
    scores = []
    for one in maps:  # one channel at a time
        mask = (one - one.min()) / (one.max() - one.min() + 1e-8)
        scores.append(net(pixels * torch.from_numpy(mask).float())[0, target].item())
    weights = np.exp(scores) / np.exp(scores).sum()
    return scaled(sum(w * a for w, a in zip(weights, maps, strict=True)))


@pytest.mark.parametrize("name", MAPS)
def test_each_method_is_its_naive_twin(convnet, image, name):
    spoken = 0
    for target in range(3):
        heat = class_activation_map(convnet, convnet[3], image, target, image="a", method=name)
        np.testing.assert_allclose(heat, twin(name, convnet, image, target), atol=2e-5)
        spoken += stands_out(heat)
    assert spoken


@pytest.mark.parametrize("name", ["gradcam", "hirescam", "layercam"])
def test_a_pair_of_scores_explains_their_difference(convnet, image, name):
    heat = class_activation_map(convnet, convnet[3], image, (2, 0), image="a.jpg", method=name)
    np.testing.assert_allclose(heat, twin(name, convnet, image, (2, 0)), atol=2e-5)


def test_against_each_other_the_two_ways_of_a_pair_point_at_different_places(red_not_green, pixels):
    # Scores 0 and 1 are opposite, so 0 less 1 is red less twice green again, twice as large.
    maps = red_not_green.maps
    there, back = (
        class_activation_map(red_not_green, maps, pixels, pair, image="a.jpg")
        for pair in ((0, 1), (1, 0))
    )
    np.testing.assert_allclose(there, [[1.0, 0.25], [0.25, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(back, [[0.0, 0.0], [0.0, 1.0]], atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_gives_what_its_images_give_alone(convnet, name):
    images = torch.randn(3, 3, 6, 6, generator=torch.Generator().manual_seed(5))
    names, targets = ["a", "b", "c"], [0, 2, 1]
    together = class_activation_maps(
        convnet, convnet[3], images, targets, images=names, method=name
    )
    for one, target, heat in zip(images, targets, together, strict=True):
        alone = class_activation_map(convnet, convnet[3], one[None], target, image="", method=name)
        np.testing.assert_allclose(heat, alone, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_every_map_lies_between_0_and_1_and_reaches_1(convnet, image, name):
    heat = class_activation_map(convnet, convnet[3], image, 0, image="a.jpg", method=name)
    assert heat.shape == (6, 6) and heat.dtype == np.float32
    assert heat.min() >= 0 and heat.max() == 1.0


def test_guided_is_the_size_of_the_guided_gradient(convnet, image):
    heat = class_activation_map(convnet, convnet[3], image, 1, image="a.jpg", method="guided")
    sizes = np.abs(guided_gradients(convnet, image, 1, image="a.jpg")).sum(axis=2)
    np.testing.assert_allclose(heat, sizes / sizes.max(), rtol=1e-6)


def test_scorecam_is_the_librarys_without_its_bar_and_in_any_batches(convnet, image, capfd):
    class Score:
        def __call__(self, scores: torch.Tensor) -> torch.Tensor:
            return scores[2]

    theirs = ScoreCAM(convnet, [convnet[3]])(image, [Score()])[0]
    capfd.readouterr()
    ours = class_activation_map(convnet, convnet[3], image, 2, image="a.jpg", method="scorecam")
    np.testing.assert_allclose(ours, theirs / theirs.max(), atol=1e-5)
    assert capfd.readouterr() == ("", "")


def test_the_principal_map_is_the_librarys_but_for_its_sign():
    maps = np.random.default_rng(0).normal(size=(20, 5, 4)).astype(np.float32)
    theirs, ours = get_2d_projection(maps[None])[0], principal_map(maps)
    sign = np.sign((theirs * ours).sum())
    np.testing.assert_allclose(ours, sign * theirs, atol=1e-4)


def test_the_sign_of_the_principal_map_makes_the_small_part_stand_out():
    object_ = np.zeros((3, 4, 4), np.float32)
    object_[:, 1, 2] = [5.0, 1.0, 2.0]  # one place unlike the fifteen others
    for maps in (object_, -object_):
        heat = principal_map(maps)
        assert np.unravel_index(heat.argmax(), heat.shape) == (1, 2)
        assert heat.max() > -heat.min()
    # -A has the components of A: where A's ends tie, the first place decides.
    tie = np.array([[[1.0, -1.0]]], np.float32)
    np.testing.assert_allclose(principal_map(tie), [[1.0, -1.0]])
    np.testing.assert_allclose(principal_map(-tie), [[1.0, -1.0]])


def test_a_flat_layer_has_no_principal_map_that_stands_out(red_not_green):
    grey = torch.ones(1, 3, 4, 4)
    maps = red_not_green.maps
    heat = class_activation_map(red_not_green, maps, grey, 0, image="a.jpg", method="eigencam")
    assert not stands_out(heat)


@pytest.mark.parametrize("name", ["eigencam", "scorecam"])
def test_methods_without_gradients_are_checked_too(red_not_green, pixels, name):
    with pytest.raises(UserFacingError, match=r"a\.jpg: it does not pass the chosen layer"):
        class_activation_map(
            red_not_green, red_not_green.unused, pixels, 0, image="a.jpg", method=name
        )
    with pytest.raises(ValueError, match="outside the module's 3 scores"):
        class_activation_map(
            red_not_green, red_not_green.maps, pixels, 3, image="a.jpg", method=name
        )
    pixels[0, 0, 0, 0] = torch.nan
    with pytest.raises(UserFacingError, match=r"a\.jpg: .*(nan|not finite)"):
        class_activation_map(
            red_not_green, red_not_green.maps, pixels, 0, image="a.jpg", method=name
        )


def test_an_unknown_method_is_refused(red_not_green, pixels):
    with pytest.raises(ValueError, match="a method is one of gradcam"):
        class_activation_map(red_not_green, red_not_green.maps, pixels, 0, image="", method="cam")


def test_where_it_is_wanted_a_zero_gradient_gives_a_zero_map(red_not_green, pixels):
    maps = class_activation_maps(
        red_not_green, red_not_green.maps, pixels, [2], images=["a"], strict=False
    )
    assert not maps.any()


def test_neither_hooks_nor_tensors_pile_up(convnet, image, living_tensors):
    def explain() -> None:
        for name in METHODS:
            class_activation_map(convnet, convnet[3], image, 1, image="a.jpg", method=name)

    explain()
    before = living_tensors()
    for _ in range(10):
        explain()
    assert living_tensors() == before
    assert not any(part._forward_hooks or part._backward_hooks for part in convnet.modules())
