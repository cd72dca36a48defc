from __future__ import annotations

import pytest
import torch
from torch import nn

from sports_clip_pipeline.explain.cam import class_activation_map
from sports_clip_pipeline.explain.faithfulness import HEAD, CascadingRandomisation, rank_correlation


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
    with shuffled.at(shuffled.levels[2]):
        out = net[0][1](net[0][0](images))
    assert out.mean((0, 2, 3)).abs().max() < 1e-4  # their biases are all 0
    spread = out.transpose(0, 1).flatten(1).std(dim=1)
    assert ((spread - 1.0).abs() < 0.1).all()  # their weights are all 1, shuffled or not


def test_the_same_seed_shuffles_alike_and_a_second_time_too(net, shuffled, images):
    answers = []
    for _ in range(2):
        with shuffled.at(shuffled.levels[1]), torch.no_grad():
            answers.append(net(images))
    assert torch.equal(*answers)


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
