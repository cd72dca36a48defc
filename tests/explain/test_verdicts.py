import math

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.explain.verdicts import (
    explanation_verdicts,
    headline_numbers,
    predictions_fingerprint,
    summarise_explanations,
)


def scores(values: dict[tuple[str, str], list[float]], right=None) -> pd.DataFrame:
    """A row an image, from lists by (method, measure)."""
    rows = [
        (f"{n}.jpg", True if right is None else right[n], "classifier", method, measure, value)
        for (method, measure), many in values.items()
        for n, value in enumerate(many)
    ]
    return pd.DataFrame(rows, columns=["image", "right", "target", "method", "measure", "value"])


@pytest.fixture
def table() -> pd.DataFrame:
    """Four images: the method is always 0.2 over the centre and 0.3 over noise."""
    centre = [0.1, 0.3, 0.5, 0.7]
    values = {}
    for measure, sign in (("road", 1), ("insertion", 1), ("deletion", -1)):
        values["centre", measure] = centre
        values["random", measure] = [value - sign * 0.1 for value in centre]
        values["gradcam", measure] = [value + sign * 0.2 for value in centre]
    return scores(values, right=[True, True, True, False])


def row(summary: pd.DataFrame, method: str, measure: str, kind: str = "all") -> pd.Series:
    found = summary[
        (summary["method"] == method)
        & (summary["measure"] == measure)
        & (summary["subset"] == kind)
    ]
    return found.iloc[0]


@pytest.mark.parametrize("measure", ["road", "insertion", "deletion"])
def test_the_difference_is_to_the_better_baseline_and_paired(table, measure):
    found = row(summarise_explanations(table, 500, seed=0), "gradcam", measure)
    assert found["baseline"] == "centre"
    ends = ("difference", "difference_low", "difference_high")
    assert [found[end] for end in ends] == pytest.approx([0.2, 0.2, 0.2])
    assert found["beats_baselines"]
    assert found["low"] < found["mean"] < found["high"]  # the images differ, the pairs do not


def test_right_and_wrong_ones_are_summarised_separately(table):
    summary = summarise_explanations(table, 500, seed=0)
    counts = [row(summary, "gradcam", "road", kind)["images"] for kind in ("all", "right", "wrong")]
    assert counts == [4, 3, 1]
    assert row(summary, "gradcam", "road", "wrong")["mean"] == pytest.approx(0.9)


def test_baselines_are_not_compared_with_themselves(table):
    found = row(summarise_explanations(table, 500, seed=0), "random", "road")
    assert math.isnan(found["difference"]) and not found["beats_baselines"]


def test_a_method_of_few_images_is_compared_with_the_baselines_on_those():
    table = scores({("centre", "road"): [0.0] * 8, ("random", "road"): [0.0] * 4 + [1.0] * 4})
    few = scores({("gradcam", "road"): [0.5] * 4})
    found = row(summarise_explanations(pd.concat([table, few]), 500, 0), "gradcam", "road")
    assert found["images"] == 4
    assert found["difference"] == pytest.approx(0.5)


def test_where_either_baseline_may_be_the_better_one_the_interval_allows_for_it():
    # Each baseline is the better one in half of the resamples, and the method no better than both.
    first, second = [1.0, 0.0] * 10, [0.0, 1.0] * 10
    table = scores(
        {("centre", "road"): first, ("random", "road"): second, ("gradcam", "road"): [0.5] * 20}
    )
    found = row(summarise_explanations(table, 2000, 0), "gradcam", "road")
    assert found["difference"] == pytest.approx(0.0)
    assert found["difference_high"] <= 1e-9 and found["difference_low"] < -0.05
    assert not found["beats_baselines"]


def test_a_sentence_states_that_it_beats_the_baselines(table):
    verdict = explanation_verdicts(summarise_explanations(table, 500, 0), 0.5).iloc[0]
    assert verdict["sentence"] == (
        "GradCAM of the classifier beats the better baseline in ROAD, insertion and deletion."
    )
    assert verdict["beats_baselines"] and verdict["depends_on_weights"] is None


def test_a_sentence_states_where_it_does_not_and_by_how_much(table):
    table.loc[(table["method"] == "gradcam") & (table["measure"] == "deletion"), "value"] += 0.3
    verdict = explanation_verdicts(summarise_explanations(table, 500, 0), 0.5).iloc[0]
    assert verdict["measures_beaten"] == "road, insertion"
    assert verdict["sentence"] == (
        "GradCAM of the classifier does not beat the better baseline in deletion "
        "(−0.100, 95 % interval −0.100 to −0.100)."
    )


@pytest.mark.parametrize(("correlation", "passes"), [(0.9, False), (0.1, True)])
def test_maps_that_do_not_depend_on_the_weights_fail(table, correlation, passes):
    spread = np.array([-0.02, 0.0, 0.0, 0.02])
    shuffled = scores(
        {
            ("gradcam", "rank correlation: head"): list(correlation + spread),
            ("gradcam", "rank correlation: head and 1/1 of the encoder"): list(spread),
        }
    )
    summary = summarise_explanations(pd.concat([table, shuffled]), 500, 0)
    verdict = explanation_verdicts(summary, 0.5).iloc[0]
    assert verdict["depends_on_weights"] == passes
    assert verdict["highest_at"] == "head"
    assert ("passes" if passes else "fails") + " the randomisation check" in verdict["sentence"]


def test_other_predictions_have_another_fingerprint():
    predictions = pd.DataFrame(
        {
            "image": ["1.jpg", "2.jpg"],
            "finetuned_label": ["golf", "judo"],
            "finetuned_probability": [0.9, 0.8],
            "zero_shot_label": ["golf", "golf"],
            "zero_shot_probability": [0.5, 0.4],
        }
    )
    checksum = predictions_fingerprint(predictions)
    assert predictions_fingerprint(predictions.copy()) == checksum
    assert predictions_fingerprint(predictions.assign(finetuned_label="golf")) != checksum
    assert predictions_fingerprint(predictions.assign(zero_shot_probability=[0.5, 0.3])) != checksum


def test_the_logged_numbers_have_flat_names(table):
    numbers = headline_numbers(summarise_explanations(table, 500, 0))
    assert numbers["cam_eval/classifier/gradcam/road_over_baseline"] == pytest.approx(0.2)
    assert numbers["cam_eval/classifier/centre/road"] == pytest.approx(0.4)
    assert all(name.count("/") == 3 and " " not in name for name in numbers)
