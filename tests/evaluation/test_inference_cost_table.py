from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.evaluation.recommendation import inference_cost_table

TOWERS = [
    {"name": "lite2", "parameters": 5, "ms_per_image": 8.0},
    {"name": "lite0", "parameters": 3, "ms_per_image": 6.0},
]
CURVES = pd.DataFrame(
    {
        "method": ["gda", "gda", "logreg"],
        "fraction": [0.01, 1.0, 1.0],
        "top1_mean": [0.6, 0.9, 0.87],
    }
)


def test_a_method_pays_for_the_towers_it_asks() -> None:
    table = inference_cost_table(CURVES, TOWERS).set_index("method")
    assert table.loc["gda", "towers"] == "lite2 + lite0"
    assert (table.loc["gda", "parameters"], table.loc["gda", "ms_per_photograph"]) == (8, 14.0)
    assert table.loc["logreg", "towers"] == "lite2"
    assert table.loc["logreg", "ms_per_photograph"] == 8.0
    assert table.loc["gda", "top1_0.01"] == 0.6
    assert np.isnan(table.loc["logreg", "top1_0.01"])


def test_an_unknown_time_stays_unknown() -> None:
    towers = [{**TOWERS[0], "ms_per_image": None}]
    assert np.isnan(inference_cost_table(CURVES, towers)["ms_per_photograph"]).all()


def test_a_trained_tower_pays_for_itself_and_joined_for_the_frozen_ones_too() -> None:
    curves = pd.DataFrame(
        {
            "method": ["full_imagenet", "end_to_end_ensemble", "gda"],
            "fraction": [1.0, 1.0, 1.0],
            "top1_mean": [0.88, 0.92, 0.9],
        }
    )
    trained = {"name": "lite2 trained, 160 px", "parameters": 5, "ms_per_image": 4.0}
    table = inference_cost_table(curves, TOWERS, trained).set_index("method")
    assert table.loc["full_imagenet", "towers"] == "lite2 trained, 160 px"
    assert table.loc["full_imagenet", "ms_per_photograph"] == 4.0
    assert table.loc["end_to_end_ensemble", "towers"] == "lite2 trained, 160 px + lite2 + lite0"
    assert table.loc["end_to_end_ensemble", "ms_per_photograph"] == 18.0
    assert table.loc["end_to_end_ensemble", "parameters"] == 13
    assert table.loc["gda", "ms_per_photograph"] == 14.0
    with pytest.raises(ValueError, match="end_to_end_ensemble trains through the pixels"):
        inference_cost_table(curves, TOWERS)
