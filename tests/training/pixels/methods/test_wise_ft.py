from __future__ import annotations

import pytest
import torch

from sports_clip_pipeline.training.pixels.methods.wise_ft import candidates, describe, interpolate
from tests.training.pixels.making import FAST

START = {"w": torch.tensor([0.1, 2.0]), "seen": torch.tensor(3)}
TRAINED = {"w": torch.tensor([0.3, 0.0]), "seen": torch.tensor(9)}


def test_the_ends_of_the_line_are_the_models_themselves() -> None:
    assert torch.equal(interpolate(START, TRAINED, 0.0)["w"], START["w"])
    assert torch.equal(interpolate(START, TRAINED, 1.0)["w"], TRAINED["w"])


def test_a_quarter_of_the_way_by_hand() -> None:
    between = interpolate(START, TRAINED, 0.25)
    torch.testing.assert_close(between["w"], torch.tensor([0.15, 1.5]))
    assert int(between["seen"]) == 9


def test_other_entries_are_refused() -> None:
    with pytest.raises(ValueError, match="stand in one state alone"):
        interpolate(START, {"w": TRAINED["w"]}, 0.5)


def test_each_weight_of_the_configuration_is_a_candidate_with_its_name() -> None:
    assert [describe(name) for name in candidates(START, TRAINED, FAST)] == [
        {"alpha": 0.0}, {"alpha": 0.5}, {"alpha": 1.0},
    ]  # fmt: skip
