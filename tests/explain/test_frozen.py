from __future__ import annotations

import pytest
import torch
from torch import nn

from sports_clip_pipeline.explain.targets import frozen


@pytest.fixture
def half_trained() -> nn.Sequential:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    module[0].requires_grad_(False)
    module[1].eval()
    return module


def state(module: nn.Module) -> tuple[list[bool], list[bool]]:
    learnable = [weight.requires_grad for weight in module.parameters()]
    return [part.training for part in module.modules()], learnable


def test_inside_nothing_trains_and_autograd_is_on(half_trained):
    with torch.no_grad(), frozen(half_trained):
        assert not any(any(flags) for flags in state(half_trained))
        assert torch.is_grad_enabled()


def test_modes_and_weights_are_as_before_even_after_an_error(half_trained):
    before = state(half_trained)
    with pytest.raises(RuntimeError, match="within"), frozen(half_trained):
        raise RuntimeError("within")
    assert state(half_trained) == before
