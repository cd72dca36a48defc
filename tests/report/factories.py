"""A made-up study in the forms of docs/architecture.md, for the tests of figures and page.

Only the shapes are realistic: numbers come from closed formulas and a seeded generator.
"""

from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.evaluation.metrics import classification_report
from sports_clip_pipeline.explain.explainer import Card
from sports_clip_pipeline.pipelines.report.config import ModelCardConfig, ReportConfig
from sports_clip_pipeline.report.page import compose_page, make_content
from sports_clip_pipeline.report.sections import StudyResults
from tests.report.factory_tables import make_jpeg, make_tables

LABELS = ("boxing", "chess", "formula1", "ice_hockey", "swimming", "tennis")
METHODS = {"notebook_mlp": 0.05, "logreg": 0.0, "logreg_clip_text_init": 0.02}
FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
NAMES = {
    "notebook_mlp": "MLP head of the notebook",
    "logreg": "Logistic regression on encoder features",
    "logreg_clip_text_init": "Logistic regression started from the prompts",
}
# The better ones of a larger study.
MORE_METHODS = {
    "gda": -0.02, "gda_all_encoders": -0.05, "tip_adapter": 0.06, "tip_adapter_f": 0.01,
    "lpp": 0.005, "clap": 0.015, "prolip": 0.03, "ridge": 0.025, "nearest_mean": 0.09,
    "blend": -0.04,
    "logreg_all_encoders": -0.03, "self_training": -0.06, "label_propagation": -0.01,
}  # fmt: skip
MORE_NAMES = {
    "gda": "Gaussian discriminant analysis",
    "gda_all_encoders": "Gaussian discriminant analysis, two encoders",
    "tip_adapter_f": "Tip-Adapter-F",
    "self_training": "Self-training",
}
CARD_CONFIG = ModelCardConfig(
    intended_use=["To measure how accuracy grows with labels."],
    not_for=["Decisions about people."],
    limits=["Other collections were not measured."],
    corpora={
        "made_up": {
            "flickr8k": {"name": "Captioned images", "licence": "For research alone."},
            "sports": {"name": "Labelled images", "licence": "Under the rules of the host."},
        }
    },
)
COST = {"parameters": 4_811_072, "ms_per_image": 21.8}
NOTE = "Measured on other files of the same kind."
REFERENCE = [
    {"measure": "zero_shot_top1", "label": "Published notebook", "value": 0.35, "note": NOTE},
    {"measure": "all_labels_top1", "label": "Published notebook", "value": 0.895, "note": NOTE},
]


def make_results(
    labels: tuple[str, ...] = LABELS, methods: int = 16, images: int = 4, **changes: Any
) -> dict[str, Any]:
    """Every dataset that the report reads, by field of `StudyResults`."""
    curves = make_curves(dict(list((METHODS | MORE_METHODS).items())[:methods]))
    trials = make_trials(dict(list((METHODS | MORE_METHODS).items())[:methods]))
    return {
        "zero_shot_metrics": make_scores(labels, 0.5) | {"top1_ci95": [0.46, 0.54]},
        "retrieval_metrics": {
            "t2i": {"r1": 0.226, "r5": 0.492, "r10": 0.63},
            "i2t": {"r1": 0.31, "r5": 0.58, "r10": 0.71},
            "images": 1000,
            "captions": 5000,
        },
        "finetune_trials": trials,
        "finetune_curves": curves,
        "finetune_metrics": make_scores(labels, 0.86) | make_origin(),
        "test_predictions": make_predictions(labels),
        "pretrain_history": make_history(),
        **make_audits(labels),
        "cam_gallery": make_cards(labels, images),
        "provenance": make_provenance(),
        "end_to_end_trials": make_trials({}),
        **make_tables(curves, labels),
        **changes,
    }


def make_study(
    labels: tuple[str, ...] = LABELS, methods: int = 16, images: int = 4, **changes: Any
) -> StudyResults:
    """The study with many methods and every table."""
    config = ReportConfig(study="made_up", methods={**NAMES, **MORE_NAMES}, reference=REFERENCE)
    given = {"config": config, "model_card": CARD_CONFIG}
    return StudyResults(**{**given, **make_results(labels, methods, images, **changes)})


def make_small_study(labels: tuple[str, ...] = LABELS, **changes: Any) -> StudyResults:
    """The study with three methods and without any table that may be missing."""
    tables = make_tables(make_curves(), labels)
    empty = {name: table[:0] if name != "recommendation" else {} for name, table in tables.items()
             if name != "thumbnails"}  # fmt: skip
    return make_study(labels, 3, **{**empty, "thumbnails": {}, **changes})


def make_page(study: StudyResults) -> str:
    """The study's page."""
    return compose_page(make_content(study), study.config)


def make_origin() -> dict[str, Any]:
    """What the study records of the classifier it exports."""
    origin = {"method": "logreg", "fraction": 1.0, "seed": 0, "labels": 8800}
    facts = {"encoders": ["lite2"], "temperature": 1.25, "threshold": None}
    return {"best_method": "logreg", "origin": origin, **facts}


def make_curves(methods: dict[str, float] = METHODS) -> pd.DataFrame:
    """Accuracy grows by the logarithm of the labels; intervals shrink."""
    rows = []
    for method, penalty in methods.items():
        for i, fraction in enumerate(FRACTIONS):
            top1 = 0.65 + 0.035 * i - penalty * (1 - i / 6)
            spread = 0.04 / (1 + i / 3)
            seeds = list(range(5 if fraction < 0.25 else 3 if fraction < 1 else 1))
            rows.append((method, fraction, round(8800 * fraction), seeds, top1, spread))
    frame = pd.DataFrame(
        rows, columns=["method", "fraction", "labels", "seeds", "top1_mean", "spread"]
    )
    frame["top1_low"] = frame["top1_mean"] - frame["spread"]
    frame["top1_high"] = frame["top1_mean"] + frame["spread"]
    frame["macro_f1_mean"] = frame["top1_mean"] - 0.01
    return frame.drop(columns="spread")


def make_trials(methods: dict[str, float] = METHODS) -> pd.DataFrame:
    """One row a seed; cross-validation prefers the method with the least penalty everywhere."""
    rows = []
    for row in make_curves(methods).itertuples():
        for seed in row.seeds:
            cv_top1 = 0.6 - methods[row.method]
            rows.append((row.method, row.fraction, seed, row.labels, row.top1_mean, cv_top1))
    columns = ["method", "fraction", "seed", "labels", "top1", "cv_top1"]
    return pd.DataFrame(rows, columns=columns).assign(elapsed_s=2.5, reused=False)


def make_scores(labels: tuple[str, ...], accuracy: float) -> dict[str, Any]:
    """100 images a class, of which about `accuracy` are right; errors go to the next classes."""
    size = len(labels)
    right = np.random.default_rng(size).normal(100 * accuracy, 9, size).clip(5, 98).astype(int)
    near = right + (100 - right) * 2 // 3
    target, turn = np.repeat(np.arange(size), 100), np.tile(np.arange(100), size)
    shift = (turn >= right[target]).astype(int) + (turn >= near[target])
    return classification_report(np.eye(size)[(target + shift) % size], target, labels)


def make_predictions(labels: tuple[str, ...]) -> pd.DataFrame:
    """100 images a class; zero-shot is right on every other, fine-tuning on 9 of 10.

    The surer of the two is sure of 95, 70 and 40 % in turn.
    """
    truth = np.repeat(np.arange(len(labels)), 100)
    turn = np.arange(len(truth))
    wrong = (truth + 1) % len(labels)
    return pd.DataFrame(
        {
            "image": [f"{n}.jpg" for n in turn],
            "label": np.array(labels)[truth],
            **_top5_columns("zero_shot", labels, np.where(turn % 2 == 0, truth, wrong), 0.3),
            **_top5_columns("finetuned", labels, np.where(turn % 10 != 0, truth, wrong), 0.0),
            "finetuned_probabilities": [np.zeros(len(labels), dtype=np.float32)] * len(turn),
        }
    )


def _top5_columns(
    prefix: str, labels: tuple[str, ...], first: np.ndarray, less: float
) -> dict[str, Any]:
    most = min(5, len(labels))
    columns = (first[:, None] + np.arange(most)) % len(labels)
    shares = [round(share - less, 2) for share in (0.95, 0.7, 0.4)]
    probability = np.array(shares)[np.arange(len(first)) % 3]
    rest = (1 - probability) / most / 2
    five = np.column_stack([probability, *(rest - 0.001 * n for n in range(most - 1))])
    return {
        f"{prefix}_label": np.array(labels)[first],
        f"{prefix}_probability": probability,
        f"{prefix}_top5": [list(row) for row in np.array(labels)[columns]],
        f"{prefix}_top5_probabilities": list(five.astype(np.float32)),
    }


def make_history(epochs: int = 30) -> pd.DataFrame:
    """A loss that falls and a recall that rises, both to a limit."""
    epoch = np.arange(1, epochs + 1)
    gain = 1 - np.exp(-epoch / 6)
    shares = {
        f"validation_{way}_r{rank}": gain * top
        for way, tops in (("t2i", (0.22, 0.49, 0.63)), ("i2t", (0.3, 0.58, 0.71)))
        for rank, top in zip((1, 5, 10), tops, strict=True)
    }
    return pd.DataFrame(
        {
            "epoch": epoch,
            "step": epoch * 30,
            "loss": 6.9 - 4 * gain,
            "lr": 1e-3 * (1 - epoch / epochs),
            "logit_scale": 14 + 20 * gain,
            **shares,
            "pairs_per_s": 90_000.0,
        }
    )


def make_audits(labels: tuple[str, ...]) -> dict[str, Any]:
    """Audits, quarantine and duplicates."""
    mentions = {
        label: {"test": 5 * rest, "train": 30 * rest, "validation": 4 * rest}
        for rest, label in zip(reversed(range(len(labels))), labels, strict=True)
    }
    reasons = ["truncated"] * 3 + ["not_an_image"] * 5 + ["conflicting_labels"] * 2
    return {
        "ingest_audit": {
            "images": {
                "flickr8k": {"total": 8091, "train": 6091, "validation": 1000, "test": 1000},
                "sports": {"total": 13760, "train": 11000, "test": 2760},
            },
            "quarantine": {"total": 10},
            "duplicates": {"groups": 2, "images": 4},
            "splits": {"development": 8800, "test": 2200, "unlabelled": 2760},
            "data_digest": "ab" * 32,
        },
        "tokenize_audit": {"captions": 40455, "truncated": 3, "mentions": mentions},
        "embed_audit": {
            "image_encoder": "lite2",
            "text_encoder": "minilm",
            "weights_sha256": {"image": "cd" * 32, "text": "ef" * 32},
            "backends": {"image": {"chosen": "onnxruntime"}},
            "encoders": [dict(name="lite2", weights_sha256="cd" * 32, **COST)],
        },
        "quarantine": pd.DataFrame(
            {"corpus": ["sports"] * 10, "image": list(map(str, range(10))), "reason": reasons}
        ),
        "duplicates": pd.DataFrame(
            {
                "corpus": ["sports"] * 4,
                "kind": ["exact", "exact", "near", "near"],
                "action": ["kept", "dropped", "kept", "kept"],
            }
        ),
    }


def make_cards(labels: tuple[str, ...], images: int) -> list[Card]:
    """Three cards an image; every other one is wrong."""
    cards = []
    for n in range(images):
        label, other = labels[n % len(labels)], labels[(n + 1) % len(labels)]
        predicted = label if n % 2 == 0 else other
        for question, method in (
            (f"class: {predicted}", "GradCAM"),
            (f"class: {predicted}", "Guided backpropagation"),
            (f"prompt: a photo of {label}.", "GradCAM"),
        ):
            fields = (_row(n, len(labels)), label, predicted, 0.8, question, method)
            cards.append(Card(*fields, photo_jpeg=make_jpeg(n), map_jpeg=make_jpeg(n + 50)))
    return cards


def _row(n: int, classes: int) -> str:
    """An image of class n that `make_predictions` gets wrong if n is odd."""
    return f"{100 * (n % classes) + 10 * (n // classes) + (0 if n % 2 else 1 + n % 9)}.jpg"


def make_provenance() -> dict[str, Any]:
    """How the made-up study was made."""
    return {
        "study": "made_up",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": True,
        "versions": {"python": "3.11.9", "kedro": "1.7.0", "plotly": "7.1.0"},
        "seeds": [0, 1, 2, 3, 4],
        "data_digest": "ab" * 32,
        "device": "Linux x86_64, 2 cores",
        "encoders": {"image": "lite2, weights cdcdcdcdcdcd…, by onnxruntime", "text": "minilm"},
    }
