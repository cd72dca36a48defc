import json
from dataclasses import replace

import pytest

from sports_clip_pipeline.evaluation.evaluation_log import (
    Evaluation,
    record_evaluation,
    summarise_evaluations,
)

FIRST = Evaluation("2026-03-01T10:00:00+00:00", "abc", 3, ("b", "a"), "0" * 64, "d1", "b", 0.9)
LATER = "2026-03-04T10:00:00+00:00"


def test_an_evaluation_is_recorded_and_can_be_written_as_json() -> None:
    log = record_evaluation([], FIRST)
    assert json.loads(json.dumps(log)) == log
    assert len(log) == 1
    assert log[0]["methods"] == ["a", "b"]
    assert (log[0]["repeats"], log[0]["last_commit"]) == (0, "abc")


def test_equal_content_is_a_repeat_at_any_time_commit_and_order_of_methods() -> None:
    once = record_evaluation([], FIRST)
    repeat = replace(FIRST, time_utc=LATER, commit="def", methods=("a", "b"))
    twice = record_evaluation(once, repeat)
    assert len(twice) == 1
    assert twice[0]["repeats"] == 1
    assert (twice[0]["time_utc"], twice[0]["last_time_utc"]) == (FIRST.time_utc, LATER)
    assert (twice[0]["commit"], twice[0]["last_commit"]) == ("abc", "def")
    assert once[0]["repeats"] == 0, "the log that was given is unchanged"


@pytest.mark.parametrize(
    "change",
    [
        {"trials": 4},
        {"methods": ("a",)},
        {"parameters_sha256": "1" * 64},
        {"data_digest": "d2"},
        {"chosen": "a"},
        {"chosen_top1": 0.9000001},
    ],
)
def test_other_content_is_another_evaluation(change: dict[str, object]) -> None:
    log = record_evaluation(record_evaluation([], FIRST), replace(FIRST, **change))
    assert [record["repeats"] for record in log] == [0, 0]


def test_the_summary_counts_evaluations_and_repeats_apart() -> None:
    log = record_evaluation([], FIRST)
    log = record_evaluation(log, replace(FIRST, chosen_top1=0.88, time_utc=LATER))
    log = record_evaluation(log, replace(FIRST, time_utc="2026-03-05T00:00:00Z"))
    assert summarise_evaluations(log) == (
        "The test images were evaluated 2 times since 2026-03-01, not counting 1 repeat of the "
        "same evaluation."
    )
    assert "evaluated once since" in summarise_evaluations(log[:1])
    assert "not evaluated" in summarise_evaluations([])
