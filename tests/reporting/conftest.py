"""What the tests of pages share: a browser to open them in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("google-chrome")
        path = found or playwright.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("no Chromium: neither the system's nor playwright's own")
        flags = ["--no-sandbox", "--disable-gpu", "--disable-quic"]
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()
