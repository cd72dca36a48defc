from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from sports_clip_pipeline.fewshot.base import Labelled, Task
from sports_clip_pipeline.fewshot.discriminant import Gda, solve_gda
from sports_clip_pipeline.fewshot.softmax_solver import NEVER
from sports_clip_pipeline.predictor.head import Head
from tests.fewshot.factories import labelled, pretrained

RNG = np.random.default_rng(0)
TARGET = np.repeat([0, 1, 2], [20, 12, 28])
FEATURES = (RNG.normal(size=(60, 6)) * np.arange(1, 7) + np.eye(3, 6)[TARGET]).astype(np.float32)
ROWS = Labelled(FEATURES, TARGET, np.zeros(60, int), 3)


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_it_is_the_textbook_formula_with_the_published_precision(strength: float) -> None:
    """P = D ((N − 1) Σ + s tr(Σ) I)⁻¹; logits μ P x − ½ μ P μ, but for a constant of each row."""
    means = np.array([FEATURES[label == TARGET].mean(axis=0) for label in (0, 1, 2)])
    sigma = sum(np.outer(x - means[c], x - means[c]) for x, c in zip(FEATURES, TARGET, strict=True))
    sigma = sigma / (60 - 1)
    precision = 6 * np.linalg.inv(59 * sigma + strength * np.trace(sigma) * np.eye(6))
    wanted = [[m @ precision @ x - 0.5 * m @ precision @ m for m in means] for x in FEATURES]
    found = solve_gda(ROWS, (strength,))[str(strength)](FEATURES)
    apart = found - np.array(wanted)
    np.testing.assert_allclose(apart - apart[:, :1], 0.0, atol=1e-3)


def test_with_equal_classes_it_is_scikit_learns_discriminant() -> None:
    """Σ (1 − γ) + γ tr(Σ)/D I is ∝ (N − 1) Σ + s tr(Σ) I at γ / (1 − γ) = s D / (N − 1)."""
    target = np.arange(60) % 3
    rows = Labelled(FEATURES, target, np.zeros(60, int), 3)
    ratio = 2.0 * 6 / 59
    twin = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=ratio / (1 + ratio))
    wanted = twin.fit(FEATURES, target).predict_log_proba(FEATURES)
    found = solve_gda(rows, (2.0,))["2.0"](FEATURES)
    apart = found[:, 1:] - found[:, :1]
    ratios = apart / (wanted[:, 1:] - wanted[:, :1])
    np.testing.assert_allclose(ratios, np.median(ratios), rtol=1e-2)


def test_two_points_on_a_line_part_in_the_middle() -> None:
    """Means −1 and 1 of four rows: the classes' logits are equal at 0, and rise with x."""
    rows = Labelled(
        np.array([[-1.5], [-0.5], [0.5], [1.5]], np.float32), np.array([0, 0, 1, 1]), np.zeros(4), 2
    )
    head = solve_gda(rows, (1.0,))["1.0"]
    logits = head(np.array([[-1.0], [0.0], [1.0]], np.float32))
    # (N − 1) Σ = 4 · 0.25 = 1, tr Σ = 1/3, so P = 1 / (1 + 1/3) = 0.75 and w x = ±0.75 x.
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], [-1.5, 0.0, 1.5], atol=1e-5)


def test_more_columns_than_rows_are_no_trouble_and_lose_nothing_in_the_rows_span() -> None:
    rows, texts = labelled(9, 3), pretrained(3)
    fit = Gda().fit(Task(rows, texts, 0))
    strength = fit.hyperparameters["shrinkage"]
    columns = Head(texts.scaled(root=True))
    wide = Labelled(columns(rows.features), rows.target, rows.fold, 3)
    whole = solve_gda(wide, (strength,))[str(strength)]
    unseen = labelled(20, 3, seed=5).features
    ours, theirs = fit.head(unseen), whole(columns(unseen)) * 9 / 12  # D is a scale of all logits
    np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=1e-2 * np.abs(theirs).max())


def test_a_class_without_rows_never_wins() -> None:
    head = solve_gda(Labelled(FEATURES, TARGET, np.zeros(60, int), 4), (1.0,))["1.0"]
    assert (head(FEATURES)[:, 3] == NEVER).all()
