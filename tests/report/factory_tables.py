"""Analysis tables of the made-up study, by closed formulas; each may be missing in a study."""

import io
import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw


def make_tables(curves: pd.DataFrame, labels: tuple[str, ...]) -> dict[str, Any]:
    """Every table, by field of `StudyResults`."""
    images = [f"{n:04}.jpg" for n in range(40)]
    return {
        "end_to_end_curves": make_end_to_end_curves(),
        "labels_needed": make_needed(curves),
        "recommendation": {
            "paragraphs": [
                "With 88 labels (about 4 a class) take Self-training: 67.0 %.",
                "With 882 labels take Gaussian discriminant analysis, two encoders: 78.1 %.\n"
                "Zero-shot is worth about 40 labels: below that, label nothing.",
            ]
        },
        "paired_comparisons": make_paired(curves),
        "calibration": make_calibration(curves),
        "reliability": make_reliability(curves),
        "class_gains": make_gains(labels),
        "confusion_pairs": make_pairs(labels),
        "label_issues": make_label_issues(images[:30], labels),
        "label_queries": make_queries(images[-12:], labels),
        "thumbnails": {image: make_jpeg(n) for n, image in enumerate(images)},
        "inference_cost": make_inference_cost(),
        "ablation": make_ablation(),
        "transduction": make_transduction(),
        "cam_eval_verdicts": pd.DataFrame(),
        "evaluation_log": [{"time_utc": "2026-01-31T12:00:00+00:00", "repeats": 1}] * 3,
    }


def make_end_to_end_curves() -> pd.DataFrame:
    """Two end-to-end methods at three fractions."""
    rows = [
        (method, fraction, round(8800 * fraction), [0], top1)
        for method, tops in (("full_random", (0.1, 0.2, 0.45)), ("full_imagenet", (0.5, 0.78, 0.9)))
        for fraction, top1 in zip((0.01, 0.1, 1.0), tops, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["method", "fraction", "labels", "seeds", "top1_mean"])
    frame["top1_low"], frame["top1_high"] = frame["top1_mean"] - 0.02, frame["top1_mean"] + 0.02
    frame["macro_f1_mean"] = frame["top1_mean"]
    return frame


def make_needed(curves: pd.DataFrame) -> pd.DataFrame:
    """Every kind of number of labels occurs."""
    kinds = (
        (0.6, 88.0, 88.0, 88.0, "measured below"),
        (0.7, 412.0, 330.0, 540.0, "interpolated"),
        (0.8, 1900.0, 1500.0, 2500.0, "interpolated"),
        (0.85, 4100.0, 2050.0, math.inf, "extrapolated"),
        (0.9, math.inf, 9000.0, math.inf, "out of reach"),
    )
    rows = [(method, *kind) for method in dict.fromkeys(curves["method"]) for kind in kinds]
    return pd.DataFrame(rows, columns=["method", "target", "labels", "low", "high", "kind"])


def make_paired(curves: pd.DataFrame) -> pd.DataFrame:
    """At each fraction everything against the method of the highest mean, and against zero-shot."""
    rows = []
    for fraction, group in curves.groupby("fraction"):
        means = group.set_index("method")["top1_mean"]
        best = means.idxmax()
        for method, top1 in means.items():
            for against, role, other in ((best, "best", means[best]), ("zero_shot",) * 2 + (0.5,)):
                if method != against:
                    difference = top1 - other
                    p = math.exp(-300 * abs(difference))
                    pair = (fraction, method, against, role, 5, difference)
                    rows.append((*pair, difference - 0.01, difference + 0.012, p, min(1, 9 * p)))
    frame = pd.DataFrame(
        rows,
        columns=["fraction", "method", "against", "role", "seeds", "difference", "low", "high",
                 "p_value", "p_holm"],
    )  # fmt: skip
    frame["distinguishable"] = (frame["p_holm"] < 0.05) & (frame["low"] * frame["high"] > 0)
    return frame


def make_calibration(curves: pd.DataFrame) -> pd.DataFrame:
    """Errors shrink with the labels; zero-shot is at fraction 0."""
    frame = curves[["method", "fraction"]].copy()
    zero_shot = pd.DataFrame({"method": ["zero_shot"], "fraction": [0.0]})
    frame = pd.concat([frame, zero_shot], ignore_index=True)
    frame["top1"], frame["confidence"] = 0.8, 0.85
    frame["ece_equal_width"] = 0.09 - 0.05 * frame["fraction"]
    frame["ece_equal_mass"] = 0.08 - 0.05 * frame["fraction"]
    frame["brier"] = 0.5 - 0.3 * frame["fraction"]
    return frame


def make_reliability(curves: pd.DataFrame) -> pd.DataFrame:
    """Ten bins; few labels are overconfident."""
    keys = [*curves[["method", "fraction"]].itertuples(index=False, name=None), ("zero_shot", 0.0)]
    rows = [
        (method, fraction, c, c ** (1.5 - fraction / 2 + 0.02 * i), 220)
        for i, (method, fraction) in enumerate(keys)
        for c in np.linspace(0.1, 0.97, 10)
    ]
    return pd.DataFrame(rows, columns=["method", "fraction", "confidence", "accuracy", "images"])


def make_gains(labels: tuple[str, ...]) -> pd.DataFrame:
    """Later classes start lower, all end near the same."""
    rows = []
    for i, label in enumerate(labels):
        start = max(0.02, 0.9 - 0.9 * i / len(labels))
        for step, fraction in enumerate((0.0, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)):
            rows.append((label, fraction, start + (0.93 - start) * (1 - 0.6**step)))
    return pd.DataFrame(rows, columns=["label", "fraction", "recall"])


def make_pairs(labels: tuple[str, ...]) -> pd.DataFrame:
    """Neighbours are confused with each other."""
    rows = [
        (one, other, 20.0 - i, 12.0 - i, 8.0, 0.2 / (i + 1))
        for i, (one, other) in enumerate(itertools.pairwise(labels))
    ]
    names = ["first", "second", "images", "first_as_second", "second_as_first", "share"]
    return pd.DataFrame(rows, columns=names)


def make_label_issues(images: list[str], labels: tuple[str, ...]) -> pd.DataFrame:
    """The label in the data and the next one."""
    rows = [
        (image, labels[n % len(labels)], labels[(n + 1) % len(labels)], 0.002 * (n + 1), n + 1)
        for n, image in enumerate(images)
    ]
    return pd.DataFrame(rows, columns=["image", "label", "suggested", "self_confidence", "rank"])


def make_queries(images: list[str], labels: tuple[str, ...]) -> pd.DataFrame:
    """Images of low confidence."""
    rows = [
        (image, n + 1, f"undecided between {labels[n % 3]} and {labels[-1]}", labels[n % 3], 0.4, 0)
        for n, image in enumerate(images)
    ]
    names = ["image", "rank", "reason", "predicted", "probability", "margin"]
    return pd.DataFrame(rows, columns=names)


def make_inference_cost() -> pd.DataFrame:
    """A small encoder, a larger one, both, and one without a measured time."""
    rows = [
        ("lite0", 3_400_000, 6.1, "gda", 0.66, 0.78, 0.86),
        ("lite2", 4_800_000, 9.8, "gda", 0.69, 0.8, 0.88),
        ("lite0 + lite2", 8_200_000, 15.9, "gda_all_encoders", 0.72, 0.82, 0.9),
        ("lite0 + lite2, four views", 8_200_000, math.nan, "gda_all_encoders", 0.73, 0.83, 0.905),
    ]
    names = ["encoders", "parameters", "ms_per_image", "method"]
    return pd.DataFrame(rows, columns=[*names, "top1_0.01", "top1_0.1", "top1_1"])


def make_ablation() -> pd.DataFrame:
    """From one prompt to everything."""
    validation = "Flickr8k validation"
    rows = [
        ("One prompt", 0.41, "a photo of {}", "nothing"),
        ("All prompts", 0.47, "60 templates", "nothing"),
        ("Descriptive sentences", 0.5, "and five sentences a class", validation),
        ("Two encoders", 0.53, "Lite0 beside Lite2", validation),
        ("ImageNet names through the text encoder", 0.55, "its logits, as ConSE does", validation),
    ]
    frame = pd.DataFrame(rows, columns=["name", "top1", "changed", "chosen_on"])
    frame["low"], frame["high"] = frame["top1"] - 0.02, frame["top1"] + 0.021
    return frame


def make_transduction() -> pd.DataFrame:
    """With development images, and with the test images themselves."""
    rows = [
        ("Balanced assignment", "development", 0.61, "uniform"),
        ("Expectation maximisation", "development", 0.63, "estimated"),
        ("Balanced assignment", "test", 0.64, "uniform"),
    ]
    frame = pd.DataFrame(rows, columns=["method", "split", "top1", "prior"])
    frame["low"], frame["high"] = frame["top1"] - 0.02, frame["top1"] + 0.02
    return frame


def make_jpeg(number: int) -> bytes:
    """A drawn disc of some colour and shape, as JPEG."""
    size = ((224, 224), (224, 150), (150, 224))[number % 3]
    image = Image.new("RGB", size, (number * 37 % 200, 120, 160))
    ImageDraw.Draw(image).ellipse((40, 40, 60 + number * 2 % 90, 130), fill=(240, 220, 180))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
