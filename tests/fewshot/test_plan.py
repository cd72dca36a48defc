from __future__ import annotations

import pandas as pd
import pytest

from sports_clip_pipeline.fewshot import study
from sports_clip_pipeline.fewshot.study import describe_plan, estimate_plan, run_study
from sports_clip_pipeline.io.state import Journal
from tests.fewshot.factories import FAST, changed, study_data

FEW = changed(FAST, select=("logreg", "logreg_clip_text_init"))


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "cores", lambda: 1)


def test_a_plan_counts_the_arms_and_those_that_stand() -> None:
    journal, data = Journal(), study_data()
    before = estimate_plan(data, FEW, journal)
    assert before["trials"].tolist() == [3, 3]
    assert before["finished"].tolist() == [0, 0]
    assert (before["hours"] > 0).all() and (before["disk_bytes"] > 0).all()

    list(run_study(data, changed(FEW, select=("logreg",)), journal))
    after = estimate_plan(data, FEW, journal)
    assert after["finished"].tolist() == [3, 0]
    assert after["hours"][0] == 0.0


def test_the_words_give_each_method_and_the_sum() -> None:
    plan = pd.DataFrame(
        {
            "method": ["gda", "ridge"],
            "trials": [3, 2],
            "finished": [1, 0],
            "hours": [0.5, 0.25],
            "disk_bytes": [2e6, 3e6],
        }
    )
    gda, ridge, total = describe_plan(plan).splitlines()
    assert gda.split()[:5] == ["gda", "3", "trials,", "1", "finished,"]
    assert "30.0 min" in gda and "15.0 min" in ridge
    assert total.startswith("all") and "45.0 min" in total and "5.0 MB" in total


def test_a_plan_with_a_row_an_arm_is_summed_by_method() -> None:
    plan = pd.DataFrame({"method": ["flyp", "flyp"], "hours": [1.0, 1.0], "disk_bytes": [1e6, 1e6]})
    first, _ = describe_plan(plan).splitlines()
    assert first.split()[:3] == ["flyp", "2", "trials,"]
    assert "120.0 min" in first
