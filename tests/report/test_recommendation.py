import numpy as np
import pandas as pd

from sports_clip_pipeline.report.recommendation import recommend

NAMES = {"gda": "GDA", "probe": "Probe", "mlp": "MLP"}
INF = float("inf")
CURVES = pd.DataFrame(
    [
        ("gda", 0.01, 88, 0.712, 0.698, 0.725),
        ("probe", 0.01, 88, 0.709, 0.69, 0.72),
        ("mlp", 0.01, 88, 0.50, 0.48, 0.52),
        ("gda", 1.0, 8832, 0.88, 0.87, 0.89),
        ("probe", 1.0, 8832, 0.90, 0.89, 0.91),
        ("mlp", 1.0, 8832, 0.89, 0.88, 0.90),
    ],
    columns=["method", "fraction", "labels", "top1_mean", "top1_low", "top1_high"],
).assign(seeds=[[0, 1, 2]] * 6)
FEWEST = CURVES[CURVES["fraction"] < 1]
COST = pd.DataFrame(
    {
        "method": ["gda", "probe", "mlp"],
        "ms_per_image": [9.04, 4.1, np.nan],
        "parameters": [14.2e6, 3.72e6, 1e6],
    }
)


def versus(fraction: float, method: str, against: str, difference: float, p: float) -> dict:
    role = "zero_shot" if against == "zero_shot" else "best"
    top1 = CURVES.query("method == @method and fraction == @fraction")["top1_mean"].iloc[0]
    return {
        "fraction": fraction, "method": method, "against": against, "role": role, "top1": top1,
        "against_top1": top1 - difference, "difference": difference, "low": difference - 0.01,
        "high": difference + 0.01, "p_holm": p, "distinguishable": p < 0.05,
    }  # fmt: skip


def paired(**changes: float) -> pd.DataFrame:
    """Cross-validation prefers GDA at 1 %, Probe at 100 %."""
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


NO_TARGETS, NO_CURVES, NO_COST = needed(), CURVES.iloc[:0], COST.iloc[:0]


def sentences(
    curves: pd.DataFrame = CURVES,
    targets: pd.DataFrame = NO_TARGETS,
    comparisons: pd.DataFrame | None = None,
    cost: pd.DataFrame = NO_COST,
    end_to_end: pd.DataFrame = NO_CURVES,
) -> list[str]:
    comparisons = paired() if comparisons is None else comparisons
    found = recommend(curves, targets, comparisons, cost, NAMES, end_to_end)
    assert all(paragraph.strip() == paragraph for paragraph in found)
    return "\n".join(found).replace("\u00a0", " ").splitlines()


def test_the_recommendation_of_a_hand_made_study() -> None:
    targets = needed(
        ("gda", 0.6, 88.0, 88.0, 88.0, "measured below"),
        ("probe", 0.85, 897.0, 703.0, 1149.0, "interpolated"),
        ("gda", 0.85, 800.0, 700.0, 1000.0, "interpolated"),
        ("probe", 0.92, 20_000.0, 9_000.0, INF, "extrapolated"),
        ("probe", 0.99, INF, 99_000.0, INF, "out of reach"),
    )
    assert sentences(targets=targets, cost=COST) == [
        "Without labels, zero-shot gives 53.0 %. 88 labels add 18.2 points (17.2–19.2; p < 0.001) "
        "with GDA.",
        "With 88 labels use GDA: 71.2 % (69.8–72.5).",
        "Probe (70.9 %, p = 0.41) does not differ significantly from it.",
        "GDA costs 9.04 ms an image and 14.2 million parameters; Probe, which does not differ "
        "significantly from it, costs 4.1 ms an image and 3.7 million parameters.",
        "With 8,832 labels use Probe: 90.0 % (89.0–91.0).",
        "It is significantly better than every other method; MLP is next, by 1.0 points "
        "(p = 0.030).",
        "Probe costs 4.1 ms an image and 3.7 million parameters.",
        "60.0 % takes 88 labels or fewer with GDA.",
        "85.0 % takes about 900 labels with Probe (700–1,100).",
        "92.0 % would take about 20,000 labels with Probe (9,000 or more), extrapolated beyond "
        "the 8,832 there are.",
        "99.0 % is out of reach with Probe: its learning curve extrapolates to more than 100 "
        "times the 8,832 labels there are, or never reaches it.",
    ]


def test_the_end_to_end_ensemble_is_named_where_it_was_trained() -> None:
    end_to_end = pd.DataFrame(
        [
            ("flyp", 1.0, 8832, 0.86, 0.85, 0.87),
            ("end_to_end_ensemble", 1.0, 8832, 0.93, 0.92, 0.94),
            ("end_to_end_ensemble", 0.1, 883, 0.86, 0.85, 0.87),
        ],
        columns=CURVES.columns[:-1],
    ).assign(seeds=[[0, 1]] * 3)
    assert sentences(end_to_end=end_to_end)[-1] == (
        "With hours of end-to-end training, end_to_end_ensemble: 86.0 % (85.0–87.0) with 883 "
        "labels, 93.0 % (92.0–94.0) with 8,832 labels."
    )
    assert sentences(end_to_end=end_to_end.iloc[:1]) == sentences()


def test_ties_are_named_and_nothing_is_significantly_better() -> None:
    found = sentences(FEWEST, comparisons=paired(mlp=0.2))
    assert found[-1] == (
        "Probe (70.9 %, p = 0.41) and MLP (50.0 %, p = 0.20) do not differ significantly from it."
    )
    assert not any("every other method" in sentence for sentence in found)


def test_a_method_that_is_better_on_test_images_is_named_and_not_chosen() -> None:
    table = paired()
    table.loc[0, ["difference", "low", "high", "p_holm", "distinguishable"]] = [
        0.02, 0.01, 0.03, 0.001, True,
    ]  # fmt: skip
    found = sentences(FEWEST, comparisons=table)
    assert found[1].startswith("With 88 labels use GDA")
    assert found[2].startswith("Probe (70.9 %, p = 0.001) did better on the test images")
    assert not any("every other method" in sentence for sentence in found)


def test_the_fewest_labels_that_are_significantly_better_than_zero_shot() -> None:
    table = paired(zero_shot=0.3)
    assert sentences(comparisons=table)[0] == (
        "Without labels, zero-shot gives 53.0 %. The fewest labels that are significantly better: "
        "8,832, 37.0 points (36.0–38.0; p < 0.001) with Probe."
    )
    table.loc[table["role"] == "zero_shot", "distinguishable"] = False
    none = "No number of labels measured is significantly better."
    assert sentences(comparisons=table)[0].endswith(none)


def test_many_ties_are_counted_after_the_nearest_three() -> None:
    names = ["a", "b", "c", "d", "e"]
    rows = [("gda", 0.01, 88, 0.7, 0.6, 0.8), *((n, 0.01, 88, 0.69, 0.6, 0.8) for n in names)]
    many = pd.DataFrame(rows, columns=CURVES.columns[:-1]).assign(seeds=[[0, 1]] * 6)
    ties = pd.DataFrame([versus(0.01, "probe", "gda", -0.003, 0.5)] * 5).assign(method=names)
    ties["difference"] = [-0.01, -0.02, -0.03, -0.04, 0.01]
    assert sentences(many, comparisons=ties)[-1] == (
        "e (70.9 %, p = 0.50), a (70.9 %, p = 0.50), b (70.9 %, p = 0.50) and 2 more do not "
        "differ significantly from it."
    )


def test_without_comparisons_only_a_single_method_is_recommended() -> None:
    nothing = paired().iloc[:0]
    assert sentences(CURVES[CURVES["method"] == "gda"], comparisons=nothing) == [
        "With 88 labels use GDA: 71.2 % (69.8–72.5).",
        "With 8,832 labels use GDA: 88.0 % (87.0–89.0).",
    ]
    assert sentences(comparisons=nothing) == []
