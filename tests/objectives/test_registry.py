from __future__ import annotations

import pytest
import torch

from sports_clip_pipeline.objectives import find_objective
from sports_clip_pipeline.pipelines.pretrain.config import LOSSES
from tests.objectives.making import embeddings


def test_every_loss_of_the_configuration_is_found_and_runs() -> None:
    image, text = embeddings(3, 4)
    owner = torch.tensor([0, 1, 1, 2])
    values = set()
    for name in LOSSES:
        objective = find_objective(name)
        start = objective.starting_bias(3)
        assert (start is not None) == objective.biased == (name == "siglip")
        bias = None if start is None else torch.tensor(start)
        values.add(round(float(objective.loss(image, text, owner, torch.tensor(5.0), bias)), 9))
    assert len(values) == len(LOSSES)


def test_an_unknown_loss_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"pretrain.loss is one of info_nce.*'triplet'"):
        find_objective("triplet")
