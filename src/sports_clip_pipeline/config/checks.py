"""Checks that every parameter block shares, and the `a+b` spelling of lists.

`kedro run --params` splits its argument at every comma, so a list cannot be written there with
commas. All blocks accept `a+b` where they want a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sports_clip_pipeline.errors import UserFacingError

T = TypeVar("T")


def require(condition: bool, parameter: str, wanted: str, got: object) -> None:
    """Refuse a parameter value, naming the parameter, what was wanted and what came.

    Raises: UserFacingError: `condition` is false.
    """
    if not condition:
        raise UserFacingError(
            f"parameter {parameter}",
            f"wanted {wanted}, got {got!r}",
            "change it in conf/ or --params",
        )


def require_number(
    value: Any, parameter: str, low: float, high: float, *, integer: bool = False
) -> None:
    """Refuse what is not a number in [low, high]; booleans are not numbers.

    Raises: UserFacingError: wrong type or out of range.
    """
    kind = "a whole number" if integer else "a number"
    is_number = isinstance(value, int if integer else (int, float)) and not isinstance(value, bool)
    require(is_number and low <= value <= high, parameter, f"{kind} in [{low}, {high}]", value)


def require_choice(value: Any, parameter: str, choices: Iterable[str]) -> None:
    """Refuse what is not one of `choices`.

    Raises: UserFacingError.
    """
    known = sorted(choices)
    require(value in known, parameter, f"one of {', '.join(known)}", value)


def as_tuple(value: Any, parameter: str, cast: Callable[[Any], T]) -> tuple[T, ...]:
    """A list, a single value, or the `a+b` spelling, as a tuple of `cast` values.

    >>> as_tuple("0.1+0.5", "finetune.fractions", float)
    (0.1, 0.5)

    Raises: UserFacingError: an element that `cast` refuses, or nothing at all.
    """
    if isinstance(value, str):
        items: list[Any] = [part.strip() for part in value.split("+") if part.strip()]
    elif isinstance(value, (list, tuple)):
        items = list(value)
    else:
        items = [value]
    require(bool(items), parameter, "at least one value", value)
    try:
        return tuple(cast(item) for item in items)
    except (TypeError, ValueError):
        wanted = f"values that are {getattr(cast, '__name__', 'valid')}, as a list or a+b"
        require(False, parameter, wanted, value)
        raise
