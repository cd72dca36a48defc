"""What must hold of every method that learns from images without labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sports_clip_pipeline.clip.projections import Pretrained
from sports_clip_pipeline.fewshot.base import METHODS, Fit, Labelled, Task, method_class
from sports_clip_pipeline.fewshot.ensemble import LogregBlend
from sports_clip_pipeline.predictor.head import Head, Operation
from tests.fewshot.making import WIDTH, labelled, pretrained, toy

NAMES = [name for name, spec in METHODS.items() if spec.unlabelled]
CLASSES = 4
OTHERS = toy(400, CLASSES, seed=50)[0]
JUDGED, TRUTH = toy(200, CLASSES, seed=7)


def fit(name: str, rows: Labelled, others: np.ndarray | None = OTHERS) -> Fit:
    return method_class(name)().fit(Task(rows, texts(), 0, others))


def texts() -> Pretrained:
    return replace(pretrained(CLASSES), space="all_encoders")


def noisy(rows: int, seed: int = 0) -> Labelled:
    """Labelled rows whose classes overlap, so that few labels leave something to learn."""
    found = labelled(rows, CLASSES, seed)
    rng = np.random.default_rng(seed)
    features = found.features + np.abs(rng.normal(0, 0.35, found.features.shape))
    return replace(found, features=features.astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_images_without_labels_does_not_matter(name: str) -> None:
    order = np.random.default_rng(0).permutation(len(OTHERS))
    one, two = (fit(name, noisy(24), others) for others in (OTHERS, OTHERS[order]))
    np.testing.assert_allclose(
        two.head(JUDGED) / two.temperature, one.head(JUDGED) / one.temperature, atol=0.2
    )
    same = one.head(JUDGED).argmax(axis=1) == two.head(JUDGED).argmax(axis=1)
    assert same.mean() > 0.99


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("others", [None, np.zeros((0, WIDTH), dtype=np.float32)])
def test_with_no_image_left_without_a_label_it_still_fits(
    name: str, others: np.ndarray | None
) -> None:
    found = fit(name, labelled(80, CLASSES), others)
    assert (found.head(JUDGED).argmax(axis=1) == TRUTH).mean() > 0.9
    assert found.cv_top1 > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_a_fold_are_not_in_what_is_said_of_it(name: str) -> None:
    # Labels that say nothing: whatever sees them is right of them more often than chance.
    rows = labelled(80, CLASSES, shuffle=True)
    found = fit(name, rows)
    assert found.held_out is not None
    assert (found.held_out.argmax(axis=1) == rows.target).mean() < 0.45


@pytest.mark.parametrize("name", [name for name in NAMES if name != "pseudo_labels"])
def test_they_are_not_worse_than_the_supervised_blend(name: str) -> None:
    blend = LogregBlend().fit(Task(noisy(40), texts()))
    found = fit(name, noisy(40))
    assert found.cv_log_loss <= blend.cv_log_loss + 1e-3
    right = [(one.head(JUDGED).argmax(axis=1) == TRUTH).mean() for one in (blend, found)]
    assert right[1] >= right[0] - 0.02


def test_em_learns_what_few_labels_do_not_tell() -> None:
    # Text that says nothing, and one label a class: the clusters tell the rest.
    blind = Head((Operation("affine", {"weight": np.zeros((CLASSES, WIDTH), np.float32),
                                       "bias": np.zeros(CLASSES, np.float32)}),))  # fmt: skip
    rows = noisy(8)
    found, blend = (
        method_class(name)().fit(Task(rows, replace(texts(), zero_shot=blind), 0, OTHERS))
        for name in ("gda_em", "logreg_blend")
    )
    right = [(one.head(JUDGED).argmax(axis=1) == TRUTH).mean() for one in (blend, found)]
    assert right[1] >= right[0]
    assert right[1] > 0.95
