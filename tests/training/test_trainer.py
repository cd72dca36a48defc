import pytest
import torch
from torch import nn

from sports_clip_pipeline.training.trainer import (
    METRIC,
    WarmupEma,
    stalled_epochs,
    warmup_cosine,
)


@pytest.mark.parametrize(
    ("recalls", "stalled"),
    [
        ((0.2,), 0),
        ((0.2, None, 0.3), 0),
        ((0.2, None), 1),
        ((0.3, 0.3), 1),  # the first of equal recalls is the best
        ((0.3, 0.2, 0.1), 2),
        ((0.3, 0.2, 0.4), 0),
        ((None, None), 0),
        ((), 0),
    ],
)
def test_early_stopping_counts_epochs_since_the_best(
    recalls: tuple[float | None, ...], stalled: int
) -> None:
    rows = [{"loss": 1.0} if r is None else {"loss": 1.0, METRIC: r} for r in recalls]
    assert stalled_epochs(rows) == stalled


def test_the_rate_rises_in_equal_steps_and_falls_along_a_cosine() -> None:
    rates = [warmup_cosine(step, 10, 1.0, 0.2) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)  # half way through the eight falling steps
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert 0 < rates[-1] < 0.05
    assert warmup_cosine(0, 10, 3.0, 0.0) == 3.0
    assert warmup_cosine(0, 1, 1.0, 0.1) > 0


def norm_of(value: float) -> nn.BatchNorm1d:
    """A norm whose entries all are `value`, but for its count of batches: ten times that."""
    model = nn.BatchNorm1d(1)
    fill(model, value)
    return model


def fill(model: nn.Module, value: float) -> None:
    with torch.no_grad():
        for entry in model.state_dict().values():
            entry.fill_(value if entry.is_floating_point() else int(10 * value))


def test_the_ema_is_that_worked_by_hand_and_counts_are_copied() -> None:
    model = norm_of(1.0)
    ema = WarmupEma(model, decay=0.2)
    fill(model, 2.0)
    ema.update(model, 1)  # decay 2 / 11
    first = 2 / 11 * 1.0 + 9 / 11 * 2.0
    fill(model, 4.0)
    ema.update(model, 1000)  # the full decay
    found = ema.module.state_dict()
    for name in ("weight", "bias", "running_mean"):
        assert float(found[name]) == pytest.approx(0.2 * first + 0.8 * 4.0)
    assert int(found["num_batches_tracked"]) == 40
    assert float(model.weight.detach()) == 4.0
