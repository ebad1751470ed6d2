"""Headless Chromium for tests and benchmarks of the report page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def missing() -> str | None:
    """Why no browser can be started; None where one can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed (`pip install 'mtsearch[test]'`)"
    if not any(map(shutil.which, NAMES)):
        return "no Chromium is installed (`apt-get install chromium`)"
    return None


@contextmanager
def chromium() -> Iterator[Any]:
    """A started browser of playwright."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, NAMES)))
    with sync_playwright() as playwright:
        # Chromium's sandbox needs a user other than root and its shared memory more than 64 MB.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
