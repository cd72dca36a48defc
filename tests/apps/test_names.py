from __future__ import annotations

import pytest

from sports_clip_pipeline.apps.demo_study import MOST_NAMES, InvalidInput, parse_names


def test_commas_semicolons_and_lines_part_names_and_blanks_are_evened_out() -> None:
    typed = " tennis,  ice   hockey\nchess;a dog ,\n\n;"
    assert parse_names(typed) == ("tennis", "ice hockey", "chess", "a dog")


def test_a_name_counts_once_whatever_its_case() -> None:
    assert parse_names("Tennis, chess, tennis, CHESS") == ("Tennis", "chess")


@pytest.mark.parametrize("typed", ["", " , ;\n", "tennis", "tennis, Tennis"])
def test_fewer_than_two_names_are_refused_with_the_reason(typed: str) -> None:
    with pytest.raises(InvalidInput, match="at least two class names"):
        parse_names(typed)


def test_too_many_names_and_too_long_ones_are_refused_with_their_number() -> None:
    most = [f"class {n}" for n in range(MOST_NAMES)]
    assert len(parse_names(",".join(most))) == MOST_NAMES
    with pytest.raises(InvalidInput, match=f"There are {MOST_NAMES + 1} class names"):
        parse_names(",".join([*most, "one more"]))
    with pytest.raises(InvalidInput, match="has 81 characters"):
        parse_names(f"tennis, {'x' * 81}")
