from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.evaluation.learning_curves import PowerLaw, can_fit, fit_power_law

LABELS = np.array([100.0, 200.0, 400.0, 800.0, 1600.0])


def test_the_example_of_the_docstring_holds() -> None:
    law = PowerLaw(np.log([2.0]), np.array([0.5]), np.zeros(1))
    assert law.labels_at(0.1) == pytest.approx([400.0])
    assert law.error(np.array([4.0, 16.0])) == pytest.approx(np.array([[1.0, 0.5]]))


def test_a_law_is_moved_through_a_point() -> None:
    law = PowerLaw(np.zeros(1), np.array([0.5]), np.array([0.1])).through(100.0, np.array([0.3]))
    assert law.error(np.array([100.0, 400.0])) == pytest.approx(np.array([[0.3, 0.2]]))
    assert law.labels_at(0.2) == pytest.approx([400.0])


def test_a_law_without_a_floor_is_recovered() -> None:
    law = fit_power_law(LABELS, (2.0 * LABELS**-0.4)[None, :])
    assert law.floor == pytest.approx([0.0], abs=1e-12)
    assert (np.exp(law.log_scale), law.rate) == (pytest.approx([2.0]), pytest.approx([0.4]))


def test_a_floor_is_found_to_within_the_grid() -> None:
    law = fit_power_law(LABELS, (3.0 * LABELS**-0.6 + 0.05)[None, :])
    assert law.floor == pytest.approx([0.05], abs=0.002)
    assert law.rate == pytest.approx([0.6], abs=0.02)
    assert np.isinf(law.labels_at(0.045))[0]
    assert law.labels_at(0.07)[0] == pytest.approx((0.02 / 3.0) ** (-1 / 0.6), rel=0.2)


def test_rows_are_fitted_on_their_own() -> None:
    errors = np.stack([2.0 * LABELS**-0.4, 1.0 * LABELS**-0.2])
    together = fit_power_law(LABELS, errors)
    alone = [fit_power_law(LABELS, errors[[row]]) for row in (0, 1)]
    np.testing.assert_allclose(together.rate, [law.rate[0] for law in alone])


def test_three_points_have_no_floor_and_two_no_law() -> None:
    errors = (3.0 * LABELS**-0.6 + 0.05)[None, :]
    assert fit_power_law(LABELS[:3], errors[:, :3]).floor == [0.0]
    assert (can_fit(2), can_fit(3)) == (False, True)
    with pytest.raises(ValueError, match="3 points or more, got 2"):
        fit_power_law(LABELS[:2], errors[:, :2])


def test_errors_that_do_not_fall_are_never_enough() -> None:
    flat = fit_power_law(LABELS, np.full((1, 5), 0.3))
    rising = fit_power_law(LABELS, np.linspace(0.2, 0.3, 5)[None, :])
    assert np.isinf([flat.labels_at(0.2)[0], rising.labels_at(0.1)[0]]).all()
    perfect = fit_power_law(LABELS, np.array([[0.1, 0.05, 0.02, 0.01, 0.0]]))
    assert np.isfinite(perfect.log_scale).all()
