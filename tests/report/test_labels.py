from __future__ import annotations

import math

import pytest

from sports_clip_pipeline.report import labels


@pytest.mark.parametrize(
    ("share", "words"), [(0.6134, "61.3\u00a0%"), (0, "0.0\u00a0%"), (1, "100.0\u00a0%")]
)
def test_shares_have_one_digit_and_an_unbroken_sign(share, words):
    assert labels.percent(share) == words


def test_a_share_that_was_not_measured_is_a_dash():
    assert labels.percent(math.nan) == "–"


@pytest.mark.parametrize(
    ("fraction", "words"), [(0.01, "1\u00a0%"), (0.025, "2.5\u00a0%"), (0.29, "29\u00a0%")]
)
def test_fractions_have_as_few_digits_as_they_need(fraction, words):
    assert labels.fraction_name(fraction) == words


def test_a_method_that_nobody_named_keeps_its_name():
    assert labels.method_name("gda", {"logreg_tower": "Logistic"}) == "gda"


def test_plotly_gets_no_markup_from_a_label():
    assert labels.plot_text("<b>&x</b>") == "&lt;b&gt;&amp;x&lt;/b&gt;"
