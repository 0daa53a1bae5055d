# SPDX-License-Identifier: MIT
"""Chromium, as the system's package has it, without a window."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

__all__ = ["chromium"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_MISSING = (
    f"Chromium is not on the PATH, as one of {', '.join(_NAMES)} (Debian: apt-get install chromium): "
    "it opens the pages"
)
# As root, as in a container, there is no sandbox; nor does it ask anybody for QUIC.
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run it, with a folder of its own, until the block ends.

    Where it is missing, skip on a developer's machine and fail in CI, which installs it.
    """
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(_MISSING)
        pytest.skip(_MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
