from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from sports_clip_pipeline.fewshot.study import TrialScheduler, schedule_trials
from sports_clip_pipeline.fewshot.trial import TrialKey


def arms(*subsets: tuple[float, int], methods: str = "ab") -> list[TrialKey]:
    return [TrialKey(method, fraction, seed) for fraction, seed in subsets for method in methods]


def test_a_worker_stays_with_its_subset_though_others_come_between() -> None:
    turns = TrialScheduler(arms((1.0, 0), (0.5, 0), (0.5, 1)))
    asked = [0, 1, 1, 0, 1, 1]
    assert [turns.next_for(worker) for worker in asked] == [
        TrialKey("a", 1.0, 0),
        TrialKey("a", 0.5, 0),
        TrialKey("b", 0.5, 0),
        TrialKey("b", 1.0, 0),
        TrialKey("a", 0.5, 1),
        TrialKey("b", 0.5, 1),
    ]
    assert turns.next_for(0) is None


def test_a_worker_without_a_subset_of_its_own_helps_with_the_last_arm() -> None:
    turns = TrialScheduler(arms((1.0, 0), methods="abcd"))
    assert turns.next_for(0) == TrialKey("a", 1.0, 0)
    assert turns.next_for(1) == TrialKey("d", 1.0, 0)
    assert turns.next_for(0) == TrialKey("b", 1.0, 0)


def test_every_arm_is_fitted_once_by_however_many_workers() -> None:
    plan = arms((1.0, 0), (0.5, 0), (0.5, 1), methods="abc")
    for count in (1, 2, 5):
        workers = [ThreadPoolExecutor(1) for _ in range(count)]
        assert sorted(schedule_trials(plan, lambda arm: arm.name, workers)) == sorted(
            arm.name for arm in plan
        )


def test_what_a_fit_raises_arrives() -> None:
    def refuse(arm: TrialKey) -> None:
        raise ValueError(arm.name)

    with pytest.raises(ValueError, match="a/1/0"):
        list(schedule_trials(arms((1.0, 0)), refuse, [ThreadPoolExecutor(1)]))
