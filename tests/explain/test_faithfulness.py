"""Faithfulness metrics worked by hand, imputation, and the weight-randomisation check."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.road import (
    NoisyLinearImputer,
    ROADLeastRelevantFirstAverage,
    ROADMostRelevantFirstAverage,
)
from torch import nn

from sports_clip_pipeline.explain import faithfulness
from sports_clip_pipeline.explain.cam import class_activation_map
from sports_clip_pipeline.explain.faithfulness import (
    HEAD,
    CascadingRandomisation,
    FaithfulnessMetrics,
    centre_map,
    first_of,
    impute,
    pixel_order,
    random_map,
    rank_correlation,
)

SIDE = 32


def predict(pixels: torch.Tensor) -> np.ndarray:
    """The mean of the upper left quarter, which the image has at 1 and the rest at 0."""
    return pixels[:, 0, : SIDE // 2, : SIDE // 2].mean(dim=(1, 2)).numpy()


@pytest.fixture
def pixels() -> torch.Tensor:
    values = torch.zeros(3, SIDE, SIDE)
    values[:, : SIDE // 2, : SIDE // 2] = 1.0
    return values


@pytest.fixture
def truth() -> np.ndarray:
    heat = np.zeros((SIDE, SIDE), np.float32)
    heat[: SIDE // 2, : SIDE // 2] = 1.0
    return heat


def metrics(pixels, shares=(0.5,), steps=4, seed=0) -> FaithfulnessMetrics:
    return FaithfulnessMetrics(pixels, predict, shares, steps, seed)


def test_insertion_and_deletion_of_the_true_patch_are_the_areas_worked_by_hand(pixels, truth):
    image = metrics(pixels)
    found = image.measure(truth)
    # A quarter of the pixels is the patch: 1, then 0 from the first step on.
    assert found["deletion"] == pytest.approx(0.125, abs=1e-6)
    assert (image.whole, image.grey) == (1.0, 0.0)
    assert found["insertion"] == pytest.approx((image.blur + 7.0) / 8, abs=1e-5)
    assert 0.05 < float(image.blurred[0, SIDE // 2, 0]) < 0.95
    assert metrics(pixels).measure(truth) == found


def test_road_fills_the_patch_with_what_lies_around_it(pixels, truth):
    found = metrics(pixels, (0.25, 0.5), steps=2).measure(truth)
    assert found["road_morf"] < 0.1  # the patch is gone, zeros are around it
    assert found["road_lerf"] > 0.95  # half of all pixels, none of the patch
    assert found["road"] == pytest.approx(found["road_lerf"] - found["road_morf"])


def test_the_true_map_beats_both_baselines_and_the_opposite_map_loses(pixels, truth):
    image = metrics(pixels, (0.2, 0.5, 0.8), 6, seed=3)
    maps = {
        "truth": truth,
        "centre": centre_map(SIDE, SIDE),
        "random": random_map(SIDE, SIDE, (4, 4), 3),
        "opposite": 1 - truth,
    }
    found = {name: image.measure(heat) for name, heat in maps.items()}
    for baseline in ("centre", "random", "opposite"):
        assert found["truth"]["road"] > found[baseline]["road"] + 0.05
        assert found["truth"]["insertion"] > found[baseline]["insertion"]
        assert found["truth"]["deletion"] < found[baseline]["deletion"] - 0.05
    assert found["opposite"]["road"] < 0


def test_a_flat_map_is_measured_in_a_random_order_of_its_pixels(pixels):
    flat = metrics(pixels, steps=10).measure(np.zeros((SIDE, SIDE)))
    assert flat["deletion"] == pytest.approx(0.5, abs=0.05)  # pixels leave evenly
    assert flat["road"] == pytest.approx(0.0, abs=0.05)


def picture(height: int, width: int) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    smooth = torch.stack([rows / height, columns / width, torch.sin(rows / 5) * 0.5])
    return (smooth + 0.1 * torch.rand(3, height, width)).float()


def test_one_lonely_pixel_becomes_the_weighted_mean_of_its_eight_neighbours():
    pixels = torch.arange(9.0).reshape(1, 3, 3).expand(3, 3, 3)
    removed = np.zeros((1, 3, 3), dtype=bool)
    removed[0, 1, 1] = True
    filled = impute(pixels, removed)
    # Sides 1, 3, 5, 7 weigh 1/6 and corners 0, 2, 6, 8 weigh 1/12: 16/6 + 16/12 = 4.
    assert filled[0, :, 1, 1].tolist() == pytest.approx([4.0] * 3, abs=1e-4)


def test_in_a_corner_only_the_neighbours_that_there_are_count():
    pixels = torch.tensor([[[0.0, 6.0], [9.0, 12.0]]]).expand(3, 2, 2)
    removed = np.array([[[True, False], [False, False]]])
    # (6/6 + 9/6 + 12/12) / (1/6 + 1/6 + 1/12) = 3.5 / (5/12) = 8.4
    assert impute(pixels, removed)[0, 0, 0, 0].item() == pytest.approx(8.4, abs=1e-3)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # the library's own
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_imputation_equals_the_library(share):
    torch.manual_seed(0)
    pixels = picture(40, 34)
    scattered = torch.rand(40, 34) < share
    block = torch.zeros(40, 34, dtype=torch.bool)
    block[4 : 4 + int(34 * share), 2:32] = True
    removed = torch.stack([scattered, block]).numpy()
    ours = impute(pixels, removed)
    for mask, filled in zip(removed, ours, strict=True):
        theirs = NoisyLinearImputer(noise=0.0)(pixels, torch.from_numpy(~mask).float())
        np.testing.assert_allclose(filled, theirs, atol=1e-5)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
def test_road_without_noise_is_the_librarys_mean_over_its_percentiles(monkeypatch):
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    monkeypatch.setattr(faithfulness, "NOISE", 0.0)
    heat = np.random.default_rng(0).permutation(SIDE**2).reshape(SIDE, SIDE) / np.float32(SIDE**2)
    image = picture(SIDE, SIDE)
    found = metrics(image, shares=(0.25, 0.5), steps=2).measure(heat)
    for name, library in (
        ("road_morf", ROADMostRelevantFirstAverage),
        ("road_lerf", ROADLeastRelevantFirstAverage),
    ):
        change = library([75, 50])(  # it removes what lies above the percentile
            image[None], heat[None], [lambda out: out], lambda pixels: torch.tensor(predict(pixels))
        )
        assert found[name] == pytest.approx(predict(image[None])[0] + change[0], abs=1e-5)


def test_known_pixels_stay_and_noise_falls_on_the_others_alone():
    pixels = picture(16, 16)
    removed = np.random.default_rng(0).random((2, 16, 16)) < 0.5
    noise = torch.full((3, 16, 16), 0.25)
    plain, noisy = impute(pixels, removed), impute(pixels, removed, noise)
    hidden = torch.from_numpy(removed)[:, None].expand_as(plain)
    assert torch.equal(noisy[~hidden], pixels.expand_as(plain)[~hidden])
    assert torch.allclose(noisy[hidden], plain[hidden] + 0.25)


def test_nothing_removed_changes_nothing_and_everything_removed_is_an_error():
    pixels = picture(20, 20)
    none, all_ = (np.full((1, 20, 20), value) for value in (False, True))
    assert torch.equal(impute(pixels, none)[0], pixels)
    with pytest.raises(ValueError, match="every pixel"):
        impute(pixels, all_)


def test_the_order_goes_from_the_greatest_to_the_least():
    heat = np.array([[0.2, 0.9], [0.5, 0.1]])
    assert pixel_order(heat, seed=0).tolist() == [1, 2, 0, 3]


def test_exactly_the_share_is_taken_where_most_pixels_tie():
    heat = np.zeros((10, 10))
    heat[0, :5] = 1.0  # a percentile of 0.8 would lie among 95 equal zeros
    order = pixel_order(heat, seed=0)
    for share in (0.05, 0.2, 0.5, 0.8):
        assert first_of(order, share, heat.shape).sum() == round(100 * share)
    assert first_of(order, 0.2, heat.shape)[0, :5].all()
    assert first_of(order[::-1], 0.8, heat.shape)[0, :5].sum() == 0


def test_ties_are_broken_by_the_seed_alike_for_all_maps():
    flat = np.zeros((8, 8))
    first, again, other = (pixel_order(flat, seed) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()
    assert sorted(first) == list(range(64))
    assert (pixel_order(np.ones((8, 8)), 0) == first).all()
    assert first.tolist() != list(range(64))


def test_the_centre_is_highest_in_the_middle_and_falls_evenly():
    heat = centre_map(9, 5)
    assert heat[4, 2] == heat.max() == 1.0
    np.testing.assert_allclose(heat, heat[::-1, ::-1])
    assert heat[0, 0] == heat.min()


def test_the_random_map_is_as_coarse_as_the_layer():
    heat = random_map(32, 32, (4, 4), seed=0)
    assert heat.shape == (32, 32)
    assert np.abs(np.diff(heat, axis=1)).max() < 0.2
    assert (random_map(32, 32, (4, 4), seed=0) == heat).all()
    assert (random_map(32, 32, (4, 4), seed=1) != heat).any()


def test_rank_correlation_is_spearmans():
    one = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert rank_correlation(one, 10 * one**3) == pytest.approx(1.0)
    assert rank_correlation(one, -one) == pytest.approx(-1.0)
    # Ranks 1 2 3 4 and 2 1 3 4: 1 - 6·2 / (4·15) = 0.8
    assert rank_correlation(one, np.array([[2.0, 1.0], [3.0, 4.0]])) == pytest.approx(0.8)
    assert rank_correlation(one, np.zeros((2, 2))) == 0.0


@pytest.fixture
def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU()),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)),
    ).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def shuffled(net, images) -> CascadingRandomisation:
    stages = [list(net[0].parameters()), list(net[1].parameters())]
    return CascadingRandomisation(net, list(net[2].parameters()), stages, 5, images, seed=0)


def weights(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def test_the_levels_go_down_from_the_head_no_further_than_there_are_stages(shuffled):
    assert shuffled.levels == (HEAD, "head and 1/2 of the encoder", "head and 2/2 of the encoder")


def test_each_level_shuffles_what_is_above_it_and_leaves_the_rest(net, shuffled):
    before = weights(net)
    touched = {HEAD: "2.", shuffled.levels[1]: ("2.", "1."), shuffled.levels[2]: ("2.", "1.", "0.")}
    for level, prefixes in touched.items():
        with shuffled.at(level):
            for name, value in net.state_dict().items():
                if name.endswith("0.weight") or name.endswith("2.weight"):
                    same = torch.equal(value, before[name])
                    assert same != name.startswith(prefixes), (level, name)
                    if not same:
                        assert torch.equal(
                            value.flatten().sort()[0], before[name].flatten().sort()[0]
                        )


def test_afterwards_everything_is_as_before_even_after_an_error(net, shuffled):
    before = weights(net)
    identities = [id(value) for value in net.parameters()]
    with pytest.raises(RuntimeError, match="within"), shuffled.at(shuffled.levels[-1]):
        raise RuntimeError("within")
    after = net.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert [id(value) for value in net.parameters()] == identities
    assert not any(part.training for part in net.modules())
    assert all(part.momentum == 0.1 for part in net.modules() if isinstance(part, nn.BatchNorm2d))


def test_shuffled_batch_norms_have_the_statistics_of_what_comes_in_then(net, shuffled, images):
    outputs = []
    for _ in range(2):
        with shuffled.at(shuffled.levels[2]), torch.no_grad():
            outputs.append(net[0][1](net[0][0](images)))
    assert torch.equal(*outputs)
    out = outputs[0]
    assert out.mean((0, 2, 3)).abs().max() < 1e-4  # their biases are all 0
    spread = out.transpose(0, 1).flatten(1).std(dim=1)
    assert ((spread - 1.0).abs() < 0.1).all()  # their weights are all 1, shuffled or not


def test_a_method_that_does_not_look_at_the_head_does_not_change_with_it(net, shuffled, images):
    def draw(method: str):
        return class_activation_map(net, net[1], images[:1], 1, image="a", method=method)

    before = {name: draw(name) for name in ("eigencam", "gradcam")}
    with shuffled.at(HEAD):
        after = {name: draw(name) for name in before}
    assert rank_correlation(before["eigencam"], after["eigencam"]) == pytest.approx(1.0)
    assert rank_correlation(before["gradcam"], after["gradcam"]) < 0.99


def test_a_network_without_batch_norms_is_shuffled_too():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    parts = list(net[3].parameters()), [list(net[0].parameters())]
    shuffled = CascadingRandomisation(net, *parts, 3, torch.zeros(1, 3, 4, 4), seed=0)
    before = net[0].weight.clone()
    with shuffled.at(shuffled.levels[-1]):
        assert not torch.equal(net[0].weight, before)
    assert torch.equal(net[0].weight, before)
