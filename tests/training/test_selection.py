from __future__ import annotations

import pytest

from sports_clip_pipeline.training.selection import METRIC, is_best, is_due, is_over


def history(*recalls: float | None) -> list[dict[str, float]]:
    return [{"loss": 1.0} if r is None else {"loss": 1.0, METRIC: r} for r in recalls]


def test_each_so_manieth_epoch_is_judged_and_the_last() -> None:
    assert [e for e in range(1, 9) if is_due(e, 8, 3)] == [3, 6, 8]


def test_the_first_of_equals_is_the_best() -> None:
    assert is_best(history(0.2))
    assert is_best(history(0.2, None, 0.3))
    assert not is_best(history(0.3, 0.3))
    assert not is_best(history(0.2, None))


@pytest.mark.parametrize(
    ("recalls", "patience", "over"),
    [
        ((0.3, 0.2, 0.1), 0, False),
        ((0.3, 0.2, 0.1), 2, True),
        ((0.3, 0.2, 0.1), 3, False),
        ((0.3, 0.2, 0.4), 2, False),
        ((0.3, None, 0.3), 2, True),
        ((None, None), 1, False),
        ((), 1, False),
    ],
)
def test_patience_counts_epochs_since_the_best(
    recalls: tuple[float | None, ...], patience: int, over: bool
) -> None:
    assert is_over(history(*recalls), patience) == over
