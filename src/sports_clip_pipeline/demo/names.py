"""The class names that somebody types."""

from __future__ import annotations

import re

MOST_NAMES = 50
LONGEST_NAME = 80


class Refusal(Exception):
    """What was asked cannot be answered; the message is the sentence that the page shows."""


def parse_names(text: str) -> tuple[str, ...]:
    """The names between commas, semicolons and line breaks, each once, in order.

    >>> parse_names("tennis, a dog; Tennis,  chess ")
    ('tennis', 'a dog', 'chess')

    Raises: Refusal: fewer than two names, more than 50, or one longer than 80 characters.
    """
    found = (" ".join(part.split()) for part in re.split(r"[,;\n]", text))
    first: dict[str, str] = {}
    for name in found:
        if name:
            first.setdefault(name.casefold(), name)
    names = tuple(first.values())
    if len(names) < 2:
        raise Refusal("Type at least two class names: one alone would always get 100 %.")
    if len(names) > MOST_NAMES:
        raise Refusal(f"There are {len(names)} class names; this page compares up to {MOST_NAMES}.")
    long = next((name for name in names if len(name) > LONGEST_NAME), None)
    if long is not None:
        raise Refusal(
            f"“{long[:20]}…” has {len(long)} characters; a name has up to {LONGEST_NAME}."
        )
    return names
