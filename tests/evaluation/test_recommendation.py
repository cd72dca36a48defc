from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.evaluation.recommendation import recommend

NAMES = {"gda": "GDA", "probe": "Probe", "mlp": "MLP"}
INF = float("inf")


def curves() -> pd.DataFrame:
    columns = ["method", "fraction", "labels", "top1_mean", "top1_low", "top1_high"]
    rows = [
        ("gda", 0.01, 88, 0.712, 0.698, 0.725),
        ("probe", 0.01, 88, 0.709, 0.69, 0.72),
        ("mlp", 0.01, 88, 0.50, 0.48, 0.52),
        ("gda", 1.0, 8832, 0.88, 0.87, 0.89),
        ("probe", 1.0, 8832, 0.90, 0.89, 0.91),
        ("mlp", 1.0, 8832, 0.89, 0.88, 0.90),
    ]
    return pd.DataFrame(rows, columns=columns)


def versus(fraction: float, method: str, against: str, difference: float, p: float) -> dict:
    role = "zero_shot" if against == "zero_shot" else "best"
    top1 = curves().query("method == @method and fraction == @fraction")["top1_mean"].iloc[0]
    return {
        "fraction": fraction, "method": method, "against": against, "role": role, "top1": top1,
        "against_top1": top1 - difference, "difference": difference, "low": difference - 0.01,
        "high": difference + 0.01, "p_holm": p, "distinguishable": p < 0.05,
    }  # fmt: skip


def paired(**changes: float) -> pd.DataFrame:
    """At 1 % folds chose GDA, at 100 % Probe."""
    p = {"probe": 0.41, "mlp": 0.0002, "zero_shot": 0.0001, **changes}
    return pd.DataFrame(
        [
            versus(0.01, "probe", "gda", -0.003, p["probe"]),
            versus(0.01, "mlp", "gda", -0.212, p["mlp"]),
            versus(1.0, "gda", "probe", -0.02, 0.004),
            versus(1.0, "mlp", "probe", -0.01, 0.03),
            versus(0.01, "gda", "zero_shot", 0.182, p["zero_shot"]),
            versus(1.0, "probe", "zero_shot", 0.37, 0.0001),
        ]
    )


def needed(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["method", "target", "labels", "low", "high", "kind"])


NO_TARGETS = needed()
PRICE = pd.DataFrame(
    {
        "method": ["gda", "probe", "mlp"],
        "ms_per_photograph": [9.04, 4.1, 1.0],
        "parameters": [14.2e6, 3.72e6, 1e6],
    }
)


def say(*arguments: object, **options: object) -> list[str]:
    sentences = recommend(*arguments, names=NAMES, **options)  # type: ignore[arg-type]
    assert recommend(*arguments, names=NAMES, **options) == sentences  # type: ignore[arg-type]
    return [sentence.replace("\u00a0", " ") for sentence in sentences]


def test_a_made_up_study_gives_these_words() -> None:
    table = needed(
        ("gda", 0.6, 88.0, 88.0, 88.0, "measured below"),
        ("probe", 0.85, 897.0, 703.0, 1149.0, "interpolated"),
        ("gda", 0.85, 800.0, 700.0, 1000.0, "interpolated"),
        ("probe", 0.92, 20_000.0, 9_000.0, INF, "extrapolated"),
        ("probe", 0.99, INF, 99_000.0, INF, "out of reach"),
    )
    assert say(curves(), table, paired(), PRICE) == [
        "Without a label zero-shot gives 53.0 %. 88 labels add 18.2 points (17.2–19.2; p < 0.001) "
        "with GDA.",
        "With 88 labels use GDA: 71.2 % (69.8–72.5).",
        "Probe (70.9 %, p = 0.41) cannot be told apart from it.",
        "GDA costs 9.04 ms a photograph and 14.2 million parameters; Probe, which cannot be "
        "told apart from it, costs 4.1 ms a photograph and 3.7 million parameters.",
        "With 8,832 labels use Probe: 90.0 % (89.0–91.0).",
        "It is ahead of every other method measured, of MLP by 1.0 points (p = 0.030).",
        "Probe costs 4.1 ms a photograph and 3.7 million parameters.",
        "60.0 % takes 88 labels or fewer with GDA.",
        "85.0 % takes about 900 labels with Probe (700–1,100).",
        "92.0 % would take about 20,000 labels with Probe (9,000 or more), extrapolated beyond "
        "the 8,832 there are.",
        "99.0 % is out of reach with Probe: the trend of its curve asks for more than 100 "
        "times the 8,832 labels there are, or never gets there.",
    ]


def test_what_hours_of_training_buy_is_said_where_they_were_spent() -> None:
    pixels = pd.DataFrame(
        [
            ("flyp", 1.0, 8832, 0.86, 0.85, 0.87),
            ("end_to_end_ensemble", 1.0, 8832, 0.93, 0.92, 0.94),
            ("end_to_end_ensemble", 0.1, 883, 0.86, 0.85, 0.87),
        ],
        columns=curves().columns,
    )
    tables = curves(), NO_TARGETS, paired()
    assert say(*tables, pixels=pixels)[-1] == (
        "Hours of training buy end_to_end_ensemble: 86.0 % (85.0–87.0) with 883 labels, "
        "93.0 % (92.0–94.0) with 8,832 labels."
    )
    for nothing in (pixels.iloc[:0], pixels.iloc[:1]):
        assert say(*tables, pixels=nothing) == say(*tables)


def test_ties_are_said_to_be_ties_and_nothing_is_ahead() -> None:
    sentences = say(curves(), NO_TARGETS, paired(mlp=0.2), fractions=[0.01])
    assert sentences[-1] == (
        "Probe (70.9 %, p = 0.41) and MLP (50.0 %, p = 0.20) cannot be told apart from it."
    )
    assert not any("ahead" in sentence for sentence in sentences)


def test_a_method_that_did_better_on_evaluation_is_named_and_not_chosen() -> None:
    table = paired()
    table.loc[0, ["difference", "low", "high", "p_holm", "distinguishable"]] = [
        0.02, 0.01, 0.03, 0.001, True,
    ]  # fmt: skip
    sentences = say(curves(), NO_TARGETS, table, fractions=[0.01])
    assert sentences[1].startswith("With 88 labels use GDA")
    assert sentences[2].startswith("Probe (70.9 %, p = 0.001) did better on the evaluation")
    assert not any("ahead" in sentence for sentence in sentences)


def test_labels_that_do_not_beat_zero_shot_are_not_said_to() -> None:
    sentence = say(curves(), NO_TARGETS, paired(zero_shot=0.3))[0]
    assert sentence == (
        "Without a label zero-shot gives 53.0 %. The fewest labels measured that are "
        "distinguishably better: 8,832, 37.0 points (36.0–38.0; p < 0.001) with Probe."
    )
    table = paired(zero_shot=0.3)
    table.loc[table["role"] == "zero_shot", "distinguishable"] = False
    assert say(curves(), NO_TARGETS, table)[0].endswith(
        "No number of labels measured is distinguishably better."
    )


def test_many_ties_are_counted_after_the_nearest_three() -> None:
    names = ["a", "b", "c", "d", "e"]
    rows = [("gda", 0.01, 88, 0.7, 0.6, 0.8), *((n, 0.01, 88, 0.69, 0.6, 0.8) for n in names)]
    many = pd.DataFrame(rows, columns=list(curves().columns))
    ties = pd.DataFrame([versus(0.01, "probe", "gda", -0.003, 0.5)] * 5).assign(method=names)
    ties["difference"] = [-0.01, -0.02, -0.03, -0.04, 0.01]
    assert say(many, NO_TARGETS, ties)[-1] == (
        "e (70.9 %, p = 0.50), a (70.9 %, p = 0.50), b (70.9 %, p = 0.50) and 2 more cannot be "
        "told apart from it."
    )


def test_one_method_alone_is_used_without_a_word_of_rivals() -> None:
    alone = curves().query("method == 'gda'")
    assert say(alone, NO_TARGETS, paired().iloc[:0]) == [
        "With 88 labels use GDA: 71.2 % (69.8–72.5).",
        "With 8,832 labels use GDA: 88.0 % (87.0–89.0).",
    ]


def test_methods_that_no_fold_compared_are_not_recommended() -> None:
    assert say(curves(), NO_TARGETS, paired().iloc[:0]) == []


def test_prices_may_be_missing_and_may_not_be_two() -> None:
    price = PRICE.assign(ms_per_photograph=[np.nan, 4.1, 1.0])
    assert not any("costs" in s for s in say(curves(), NO_TARGETS, paired(), price)[:3])
    with pytest.raises(ValueError, match="gda has several"):
        say(curves(), NO_TARGETS, paired(), pd.concat([PRICE, PRICE.iloc[:1]]))
