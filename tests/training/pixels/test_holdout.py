from __future__ import annotations

import numpy as np
import pytest
from sports_clip_pipeline.training.pixels.holdout import held_out_rows, rows_of_step, steps_for


def test_each_class_gives_its_share_and_a_lone_photograph_stays() -> None:
    target = np.array([0] * 20 + [1] * 4 + [2])
    out = held_out_rows(target, 0.1, seed=0)
    assert np.bincount(target[out], minlength=3).tolist() == [2, 1, 0]
    assert (held_out_rows(target, 0.1, seed=0) == out).all()
    assert any((held_out_rows(target, 0.1, seed=s) != out).any() for s in range(1, 5))


@pytest.mark.parametrize(("size", "count"), [(4, 10), (7, 3), (5, 5)])
def test_steps_go_through_whole_passes_one_after_another(size: int, count: int) -> None:
    seen = np.concatenate([rows_of_step(step, size, count, seed=3) for step in range(count)])
    passes = seen.reshape(size, count)
    assert (np.sort(passes, axis=1) == np.arange(count)).all()
    assert len({tuple(one) for one in passes}) > 1 or count == 1


def test_steps_are_the_epochs_but_no_fewer_than_the_least() -> None:
    assert steps_for(8832, 64, 8, 200) == 1104
    assert steps_for(88, 64, 8, 200) == 200
