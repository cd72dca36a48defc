from __future__ import annotations

from pathlib import Path

import pytest

from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.pixels.estimate import estimate, estimate_study
from tests.training.pixels.making import FAST, study

PLAN = EndToEndConfig(
    methods="full_imagenet+flyp", fractions="0.1+1.0", batch_size=10, epochs=8, min_steps=100,
    refit_below=200, held_out_share=0.1,
)  # fmt: skip


def test_a_plan_by_hand() -> None:
    table = estimate(PLAN, {0.1: 100, 1.0: 1000}, {"full_imagenet": 50.0, "flyp": 25.0}, 10)
    assert table["method"].tolist() == ["full_imagenet", "flyp"] * 2
    # 90 photographs are 72 steps, so the least of 100; all 100 again are 80, so 100 once more.
    assert table["steps"].tolist() == [200, 200, 720, 720]
    assert table["hours"].tolist() == pytest.approx([40 / 3600, 80 / 3600, 144 / 3600, 288 / 3600])
    assert table["disk_bytes"].tolist() == [80] * 4


def test_one_rate_serves_all_methods() -> None:
    table = estimate(PLAN, {0.1: 100, 1.0: 1000}, 50.0)
    assert table["hours"].iloc[0] == table["hours"].iloc[1]


def test_a_study_is_estimated_from_a_short_trial(tmp_path: Path) -> None:
    config = FAST.model_copy(update={"methods": ("full_imagenet", "last_blocks")})
    table = estimate_study(study(tmp_path, Journal()), config, trial_steps=1)
    assert (table["hours"] > 0).all()
    assert (table["steps"] == 4).all()
    assert table["disk_bytes"].min() > 2 * 4 * 3_000_000
