import numpy as np
import pandas as pd

from sports_clip_pipeline.evaluation.learning_curves import inference_cost_table

ENCODERS = [
    {"name": "lite2", "parameters": 5, "ms_per_image": 8.0},
    {"name": "lite0", "parameters": 3, "ms_per_image": 6.0},
]


def test_a_method_costs_what_its_encoders_cost() -> None:
    rows = [("gda", 0.01, 0.6), ("gda", 1.0, 0.9), ("logreg", 1.0, 0.87)]
    curves = pd.DataFrame(rows, columns=["method", "fraction", "top1_mean"])
    table = inference_cost_table(curves, ENCODERS).set_index("method")
    assert table.loc["gda", ["encoders", "parameters", "ms_per_image"]].tolist() == [
        "lite2 + lite0", 8, 14.0,
    ]  # fmt: skip
    assert table.loc["logreg", ["encoders", "ms_per_image"]].tolist() == ["lite2", 8.0]
    assert table.loc["gda", "top1_0.01"] == 0.6
    assert np.isnan(table.loc["logreg", "top1_0.01"])
    unknown = [{**ENCODERS[0], "ms_per_image": None}]
    assert np.isnan(inference_cost_table(curves, unknown)["ms_per_image"]).all()


def test_end_to_end_methods_cost_their_own_encoder_and_ensembles_all() -> None:
    rows = [(name, 1.0, 0.9) for name in ("full_imagenet", "end_to_end_ensemble", "gda")]
    curves = pd.DataFrame(rows, columns=["method", "fraction", "top1_mean"])
    trained = {"name": "lite2 trained, 160 px", "parameters": 5, "ms_per_image": 4.0}
    table = inference_cost_table(curves, ENCODERS, trained).set_index("method")
    columns = ["encoders", "parameters", "ms_per_image"]
    assert table.loc["full_imagenet", columns].tolist() == ["lite2 trained, 160 px", 5, 4.0]
    ensemble = ["lite2 trained, 160 px + lite2 + lite0", 13, 18.0]
    assert table.loc["end_to_end_ensemble", columns].tolist() == ensemble
    assert table.loc["gda", "ms_per_image"] == 14.0
