from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sports_clip_pipeline.fewshot import base as interface
from sports_clip_pipeline.fewshot import subspace as probes
from sports_clip_pipeline.fewshot.base import Labelled, ResultCache, Task, method_class
from sports_clip_pipeline.fewshot.cross_validation import held_out_logits
from sports_clip_pipeline.fewshot.linear import logreg_path, solve_ridge
from sports_clip_pipeline.fewshot.subspace import LinearProbes
from tests.fewshot.factories import labelled, pretrained

SHARING = (
    "ridge",
    "gda",
    "ridge_blend",
    "gda_blend",
    "logreg_blend",
    "lp_plus_plus",
    "stacked_ensemble",
)


def test_held_out_answers_are_those_of_fits_on_the_other_folds() -> None:
    rows = labelled(60, 3, shuffle=True)
    made = LinearProbes.of(Task(rows, pretrained(3)))
    found = made.held_out(solve_ridge, (0.1, 1.0))
    wanted = held_out_logits(made.space.rows, lambda some: solve_ridge(some, (0.1, 1.0)))
    for name, logits in wanted.items():
        np.testing.assert_array_equal(found.logits[name], logits)
    for fold, heads in found.without.items():
        out = rows.fold == fold
        said = heads["1.0"](made.space.rows.features[out])
        np.testing.assert_array_equal(found.logits["1.0"][out], said)


def test_a_probe_on_pooled_features_says_what_it_says_in_the_axes() -> None:
    rows = labelled(60, 3)
    made = LinearProbes.of(Task(rows, pretrained(3)))
    inside = made.fit(logreg_path, "30.0")(made.space.rows.features)
    outside = made.expanded(logreg_path, "30.0")(rows.features)
    np.testing.assert_allclose(outside, inside, atol=1e-4)


@pytest.mark.parametrize("method", SHARING)
def test_a_method_finds_the_same_after_all_others_as_alone(method: str) -> None:
    shared, alone = labelled(60, 3, shuffle=True), labelled(60, 3, shuffle=True)
    for other in SHARING:
        if other != method:
            method_class(other)().fit(Task(shared, pretrained(3), 0))
    after = method_class(method)().fit(Task(shared, pretrained(3), 0))
    first = method_class(method)().fit(Task(alone, pretrained(3), 0))
    assert after.hyperparameters == first.hyperparameters
    np.testing.assert_array_equal(after.held_out, first.held_out)
    np.testing.assert_array_equal(after.head(alone.features), first.head(alone.features))


def test_axes_are_found_once_for_the_same_rows_and_again_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[int] = []
    axes = probes.principal_axes

    def counted(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found.append(len(rows))
        return axes(rows)

    monkeypatch.setattr(probes, "principal_axes", counted)
    rows = labelled(60, 3)
    for method in SHARING:
        method_class(method)().fit(Task(rows, pretrained(3), 0))
    assert found == [60]
    method_class("ridge")().fit(Task(rows.where(rows.fold != 0), pretrained(3), 0))
    method_class("ridge")().fit(Task(rows, replace(pretrained(3), space="clip"), 0))
    assert len(found) == 3


def test_a_method_is_charged_once_for_what_it_finds_and_not_for_what_it_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(0, 1000, 7))
    monkeypatch.setattr(interface.time, "perf_counter", lambda: float(next(clock)))
    memory, made = ResultCache(), []
    for _ in range(2):
        assert memory.get("sum", lambda: made.append(1) or 5) == 5
    assert memory.reused_s == 0.0, "its own"
    memory.begin_trial()
    for _ in range(3):
        assert memory.get("sum", lambda: made.append(1) or 5) == 5
    assert memory.reused_s == 7.0
    assert made == [1]


def test_other_rows_have_a_memory_of_their_own() -> None:
    rows = labelled(60, 3)
    rows.cache.get("something", lambda: 1)
    for other in (rows.where(rows.target > 0), replace(rows, features=rows.features + 1)):
        assert isinstance(other, Labelled)
        assert other.cache.get("something", lambda: 2) == 2
