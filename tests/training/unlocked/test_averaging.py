from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.training.unlocked.averaging import MovingAverage
from sports_clip_pipeline.training.unlocked.precision import Compute
from sports_clip_pipeline.training.unlocked.run import TrainedTowers, train_towers

NAMES = ("weight", "bias", "running_mean", "num_batches_tracked")


def norm_of(value: float) -> nn.BatchNorm1d:
    """A norm whose entries all are `value`, but for its count of batches: ten times that."""
    model = nn.BatchNorm1d(1)
    put(model, value)
    return model


def put(model: nn.Module, value: float) -> None:
    with torch.no_grad():
        for name in NAMES[:3]:
            model.state_dict()[name].fill_(value)
        model.state_dict()["num_batches_tracked"].fill_(int(10 * value))


def entries(model: nn.Module) -> list[float]:
    return [float(model.state_dict()[name]) for name in NAMES]


def test_averages_are_those_worked_by_hand() -> None:
    model = norm_of(1.0)
    average = MovingAverage(model, NAMES, decay=0.15)
    put(model, 2.0)
    average.update(0)  # d = 1/10: 0.1 · 1 + 0.9 · 2
    put(model, 4.0)
    average.update(1)  # d = 0.15, less than 2/11: 0.15 · 1.9 + 0.85 · 4
    with average.used():
        np.testing.assert_allclose(entries(model), [3.685, 3.685, 3.685, 40], rtol=1e-6)
    assert entries(model) == [4.0, 4.0, 4.0, 40.0]


def test_an_error_within_the_block_puts_the_entries_back_too() -> None:
    model = norm_of(1.0)
    average = MovingAverage(model, NAMES, decay=0.5)
    put(model, 3.0)
    with pytest.raises(RuntimeError), average.used():
        raise RuntimeError
    assert entries(model) == [3.0, 3.0, 3.0, 30.0]


def test_averages_come_back_from_their_arrays() -> None:
    model = norm_of(1.0)
    first = MovingAverage(model, NAMES, decay=0.9)
    put(model, 5.0)
    first.update(3)
    second = MovingAverage(norm_of(0.0), NAMES, decay=0.9)
    second.take({**first.arrays(), "model.weight": np.zeros(1)})
    for name, value in first.arrays().items():
        np.testing.assert_array_equal(second.arrays()[name], value)


def test_without_decay_nothing_is_kept_or_changed() -> None:
    model = norm_of(1.0)
    average = MovingAverage(model, NAMES, decay=0.0)
    put(model, 2.0)
    average.update(0)
    assert average.arrays() == {}
    with average.used():
        assert entries(model) == [2.0, 2.0, 2.0, 20.0]


def test_what_is_judged_and_kept_is_the_average(
    corpus: Any, new_clip: Callable[[], Any], one_block: PretrainConfig
) -> None:
    seen: dict[float, list[np.ndarray]] = {}

    def train(decay: float) -> TrainedTowers:
        def judge(image: np.ndarray, text: np.ndarray, owner: np.ndarray) -> dict[str, float]:
            seen.setdefault(decay, []).append(text)
            return {}

        return train_towers(
            new_clip(), corpus.pairs("train"), corpus.pairs("validation"), judge,
            corpus.preprocessing, replace(one_block, ema_decay=decay),
            Compute("cpu", "fp32"), Journal(), "f",
        )  # fmt: skip

    plain, averaged = train(0.0), train(0.9)
    losses = [[row["loss"] for row in trained.history] for trained in (plain, averaged)]
    assert losses[0] == losses[1], "the average has no say in what is learned"
    start = {name: value.numpy() for name, value in new_clip().state_dict().items()}
    moved = {
        decay: float(np.abs(trained.projections.text_weight - start["text.proj.weight"]).mean())
        for decay, trained in ((0.0, plain), (0.9, averaged))
    }
    assert 0.0 < moved[0.9] < moved[0.0], "it lags behind"
    assert not np.array_equal(seen[0.0][-1], seen[0.9][-1])
    for trained in (plain, averaged):
        told = trained.history[-1]["logit_scale"]
        assert told == pytest.approx(np.exp(trained.projections.logit_scale), rel=1e-6)
