from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sports_clip_pipeline.evaluation.evaluation_log import (
    Evaluation,
    record_evaluation,
    summarise_evaluations,
)

LOOK = Evaluation("2026-03-01T10:00:00+00:00", "abc", 3, ("b", "a"), "0" * 64, "d1", "b", 0.9)
LATER = "2026-03-04T10:00:00+00:00"


def test_a_look_is_recorded_and_can_be_written_as_json() -> None:
    ledger = record_evaluation([], LOOK)
    assert json.loads(json.dumps(ledger)) == ledger
    assert len(ledger) == 1
    assert ledger[0]["methods"] == ["a", "b"]
    assert (ledger[0]["repeats"], ledger[0]["last_commit"]) == (0, "abc")


def test_the_same_look_is_a_repeat_whatever_its_time_commit_or_order_of_methods() -> None:
    once = record_evaluation([], LOOK)
    again = record_evaluation(once, replace(LOOK, time_utc=LATER, commit="def", methods=("a", "b")))
    assert len(again) == 1
    assert again[0]["repeats"] == 1
    assert (again[0]["time_utc"], again[0]["last_time_utc"]) == (LOOK.time_utc, LATER)
    assert (again[0]["commit"], again[0]["last_commit"]) == ("abc", "def")
    assert once[0]["repeats"] == 0, "the ledger that was given stays as it was"


@pytest.mark.parametrize(
    "change",
    [
        {"arms": 4},
        {"methods": ("a",)},
        {"parameters_sha256": "1" * 64},
        {"data_digest": "d2"},
        {"chosen": "a"},
        {"chosen_top1": 0.9000001},
    ],
)
def test_other_content_is_another_look(change: dict[str, object]) -> None:
    ledger = record_evaluation(record_evaluation([], LOOK), replace(LOOK, **change))
    assert [record["repeats"] for record in ledger] == [0, 0]


def test_the_summary_counts_looks_and_repeats_apart() -> None:
    ledger = record_evaluation([], LOOK)
    ledger = record_evaluation(ledger, replace(LOOK, chosen_top1=0.88, time_utc=LATER))
    ledger = record_evaluation(ledger, replace(LOOK, time_utc="2026-03-05T00:00:00Z"))
    assert summarise_evaluations(ledger) == {
        "looks": 2,
        "repeats": 1,
        "since": LOOK.time_utc,
        "until": "2026-03-05T00:00:00Z",
        "best_top1": 0.9,
        "latest_top1": 0.9,
        "sentence": "The evaluation photographs were looked at 2 times since 2026-03-01, "
        "repeats of a look not counted (1).",
    }
    assert "looked at once since" in summarise_evaluations(ledger[:1])["sentence"]


def test_an_empty_ledger_says_so() -> None:
    summary = summarise_evaluations([])
    assert (summary["looks"], summary["since"]) == (0, None)
    assert "not looked at" in summary["sentence"]


@pytest.mark.parametrize("time", ["yesterday", "2026-03-01T10:00:00", "2026-03-01T10:00:00+02:00"])
def test_times_that_are_not_utc_are_refused(time: str) -> None:
    with pytest.raises(ValueError, match="a look's time is"):
        replace(LOOK, time_utc=time)
