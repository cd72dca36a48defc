import re

import pytest

from sports_clip_pipeline.report import figures as fig
from sports_clip_pipeline.report.figures import Series, interval_plot
from sports_clip_pipeline.report.page import make_content
from tests.report.factories import make_study

TONE = re.compile(r"#[0-9a-fA-F]{3,8}|rgba?\([^)]*\)")


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two `#rrggbb` colours."""
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(tone: str) -> float:
    parts = [int(tone[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("pair", [fig.INK, fig.MUTED, *fig.SERIES])
def test_text_and_lines_stand_out_on_both_papers(pair):
    for tone, paper in zip(pair, fig.PAPER, strict=True):
        assert contrast(tone, paper) >= 4.5


def test_numbers_in_ink_stand_out_on_the_whole_soft_scale():
    for _, pair in fig.SOFT_SCALE:
        for square, ink in zip(pair, fig.INK, strict=True):
            assert contrast(square, ink) >= 4.5


def test_every_light_tone_has_one_dark_twin():
    pairs = (fig.PAPER, fig.INK, fig.MUTED, fig.GRID, fig.HOVER, *fig.SERIES, *fig.BANDS)
    assert len(fig.TONES) == len(pairs) + len(fig.SCALE) + len(fig.SOFT_SCALE)
    assert dict(pairs).items() <= fig.TONES.items()


def test_figures_use_no_colour_without_a_twin():
    allowed = {*fig.TONES, fig.CLEAR}
    for section in make_content(make_study()).sections.values():
        if section.figure is not None:
            used = set(TONE.findall(section.figure.to_json()))
            assert used and used <= allowed, section.name


def test_a_long_title_is_wrapped_and_makes_room():
    short, long = (interval_plot([text], [Series("x", [0.5])]) for text in ("a", "abc " * 20))
    assert "<br>" in long.layout.annotations[0].text
    assert long.layout.height > short.layout.height


def test_the_axis_of_shares_stays_inside_zero_and_one():
    axis = interval_plot(["a", "b"], [Series("x", [0.0, 1.0])]).layout.xaxis
    assert axis.range[0] >= -0.02 and axis.range[1] <= 1.02
    assert axis.ticktext[0] == "0 %" and axis.ticktext[-1] == "100 %"
