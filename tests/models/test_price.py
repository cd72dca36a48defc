from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sports_clip_pipeline.encoders import inference_cost
from sports_clip_pipeline.encoders.backends import TowerProgram
from sports_clip_pipeline.encoders.inference_cost import (
    Rate,
    keep_rate,
    kept_rate,
    rate_path,
    total_price,
)


@pytest.fixture
def program(tmp_path: Path) -> TowerProgram:
    return TowerProgram("image", "lite0", tmp_path / "onnx" / "lite0-64-abc.onnx", 64)


def rate(**changes: object) -> Rate:
    return replace(Rate(inference_cost.machine(), "auto", "onnxruntime", 10.0), **changes)


def test_a_kept_rate_is_read_again(program: TowerProgram) -> None:
    assert kept_rate(program, "auto") is None
    keep_rate(program, rate())
    assert kept_rate(program, "auto") == rate()


def test_the_fastest_block_seen_stays(program: TowerProgram) -> None:
    for seen in (10.0, 12.5):
        keep_rate(program, rate(ms_per_item=seen))
    assert kept_rate(program, "auto") == rate(ms_per_item=10.0)
    keep_rate(program, rate(ms_per_item=8.0))
    assert kept_rate(program, "auto") == rate(ms_per_item=8.0)


def test_another_backend_has_another_rate(program: TowerProgram) -> None:
    keep_rate(program, rate())
    keep_rate(program, rate(backend="torch", ms_per_item=30.0))
    assert kept_rate(program, "auto") == rate(backend="torch", ms_per_item=30.0)


def test_rates_of_another_machine_or_setting_are_none_of_this_one(program: TowerProgram) -> None:
    keep_rate(program, rate())
    assert kept_rate(program, "torch") is None
    keep_rate(program, rate(machine="an abacus, 1 cores"))
    assert kept_rate(program, "auto") is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"machine": "m"}'])
def test_a_damaged_record_is_measured_anew(program: TowerProgram, content: str) -> None:
    keep_rate(program, rate())
    rate_path(program).write_text(content)
    assert kept_rate(program, "auto") is None


def test_towers_cost_their_sum() -> None:
    rows = [
        {"parameters": 3_000, "ms_per_image": 6.25, "name": "a"},
        {"parameters": 5_000, "ms_per_image": 9.5},
    ]
    assert total_price(rows) == {"parameters": 8_000, "ms_per_image": 15.75}
    assert total_price(rows[:1]) == {"parameters": 3_000, "ms_per_image": 6.25}


def test_an_unknown_time_makes_the_sum_unknown() -> None:
    rows = [{"parameters": 1, "ms_per_image": None}, {"parameters": 2, "ms_per_image": 1.0}]
    assert total_price(rows) == {"parameters": 3, "ms_per_image": None}
