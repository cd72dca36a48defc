"""What the tests of pages share: a browser to open them in."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browsing import headless_chromium


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    with headless_chromium() as chromium:
        yield chromium
