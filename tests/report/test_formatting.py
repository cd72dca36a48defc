import math

import pytest

from sports_clip_pipeline.report import formatting as fmt


@pytest.mark.parametrize(
    ("share", "text"), [(0.6134, "61.3\u00a0%"), (0, "0.0\u00a0%"), (math.nan, "–")]
)
def test_percent_has_one_digit_and_a_no_break_space(share, text):
    assert fmt.percent(share) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.01, "1\u00a0%"), (0.025, "2.5\u00a0%"), (0.29, "29\u00a0%"), (0, "none")],
)
def test_fractions_have_as_few_digits_as_they_need(fraction, text):
    assert fmt.fraction_name(fraction) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (7199, "119 min 59 s"), (9000, "2 h 30 min")]
)
def test_durations_switch_to_hours_at_two(seconds, text):
    assert fmt.duration(seconds) == text


@pytest.mark.parametrize(("p", "text"), [(0.00012, "< 0.001"), (0.0432, "0.043"), (1.0, "1")])
def test_p_values_have_two_digits(p, text):
    assert fmt.p_value(p) == text


def test_infinite_counts_are_dashes():
    assert (fmt.count(1234.0), fmt.count(math.inf)) == ("1,234", "–")


def test_plotly_gets_no_markup_from_a_label():
    assert fmt.plot_text("<b>&x</b>") == "&lt;b&gt;&amp;x&lt;/b&gt;"
