from __future__ import annotations

import re

import pytest

from sports_clip_pipeline.report import theme
from sports_clip_pipeline.report.page import make_content
from tests.report.study import make_study

TONE = re.compile(r"#[0-9a-fA-F]{3,8}|rgba?\([^)]*\)")


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two `#rrggbb` colours."""
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(tone: str) -> float:
    parts = [int(tone[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_is_21_between_black_and_white():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("pair", [theme.INK, theme.MUTED, *theme.SERIES])
def test_text_and_lines_stand_out_on_both_papers(pair):
    for tone, paper in zip(pair, theme.PAPER, strict=True):
        assert contrast(tone, paper) >= 4.5


def test_numbers_in_ink_stand_out_on_the_whole_soft_scale():
    for _, pair in theme.SOFT_SCALE:
        for square, ink in zip(pair, theme.INK, strict=True):
            assert contrast(square, ink) >= 4.5


def test_every_light_tone_has_one_dark_twin():
    pairs = [theme.PAPER, theme.INK, theme.MUTED, theme.GRID, theme.HOVER]
    scales = (*theme.SCALE, *theme.SOFT_SCALE)
    pairs += [*theme.SERIES, *theme.BANDS, *(pair for _, pair in scales)]

    assert len({light for light, _ in pairs}) == len(pairs)
    assert dict(pairs) == theme.TONES


def test_figures_use_no_colour_without_a_twin():
    allowed = {*theme.TONES, theme.CLEAR}
    for section in make_content(make_study()).sections.values():
        if section.figure is not None:
            used = set(TONE.findall(section.figure.to_json()))
            assert used and used <= allowed, section.name
