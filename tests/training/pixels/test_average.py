from __future__ import annotations

import pytest
import torch
from torch import nn

from sports_clip_pipeline.training.pixels.average import MovingAverage, moving_entries


def test_the_average_follows_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    average = MovingAverage(model, decay=0.9)
    model.weight.data.fill_(3.0)
    average.update(model, step=1)  # decay (1 + 1) / (10 + 1)
    assert float(average.entries["weight"]) == pytest.approx(2 / 11 * 1.0 + 9 / 11 * 3.0)
    before = float(average.entries["weight"])
    model.weight.data.fill_(-1.0)
    average.update(model, step=1000)  # the full decay
    assert float(average.entries["weight"]) == pytest.approx(0.9 * before - 0.1)
    assert float(model.weight.detach()) == -1.0


def test_frozen_parameters_are_left_out_and_counts_are_copied() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[0].weight.requires_grad_(False)
    average = MovingAverage(model, decay=0.5)
    assert "0.weight" not in average.entries
    assert set(moving_entries(model)) == {
        "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked",
    }  # fmt: skip
    model(torch.randn(4, 2))
    average.update(model, step=1)
    assert int(average.entries["1.num_batches_tracked"]) == 1
