from __future__ import annotations

import pytest

from sports_clip_pipeline.config.checks import as_tuple, require_choice, require_number
from sports_clip_pipeline.errors import UserFacingError


@pytest.mark.parametrize("value", ["0.1+0.5", " 0.1 + 0.5 ", [0.1, 0.5], ("0.1", 0.5)])
def test_a_list_may_be_spelled_with_plus(value: object) -> None:
    assert as_tuple(value, "p", float) == (0.1, 0.5)


def test_one_value_is_a_list_of_one() -> None:
    assert as_tuple(3, "p", int) == as_tuple("3", "p", int) == (3,)


@pytest.mark.parametrize("value", ["", "+", [], ()])
def test_no_value_at_all_is_refused(value: object) -> None:
    with pytest.raises(UserFacingError, match="parameter p: wanted at least one value"):
        as_tuple(value, "p", int)


@pytest.mark.parametrize("value", ["1+x", [None]])
def test_values_of_another_kind_are_refused(value: object) -> None:
    with pytest.raises(UserFacingError, match="parameter p: wanted values that are int"):
        as_tuple(value, "p", int)


@pytest.mark.parametrize("value", [True, "1", None, 0, 11, float("nan")])
def test_what_is_no_number_in_range_is_refused(value: object) -> None:
    with pytest.raises(UserFacingError, match=r"parameter b\.f: wanted a number in \[1, 10\]"):
        require_number(value, "b.f", 1, 10)
    require_number(10, "b.f", 1, 10)
    with pytest.raises(UserFacingError, match="a whole number"):
        require_number(1.5, "b.f", 1, 10, integer=True)


def test_the_known_choices_are_named() -> None:
    with pytest.raises(UserFacingError, match="wanted one of a, b, got 'c'"):
        require_choice("c", "p", ("b", "a"))
