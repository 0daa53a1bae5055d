# SPDX-License-Identifier: MIT
"""A browser, and a service whose pages it opens: another one where a file has its own ``server``."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import chromium
from tests.browser.visit import Visit
from tests.support.process import ServerProcess, serving


@pytest.fixture(scope="module")  # no longer: what drives it is a loop that runs, for all other tests too
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """The reference API, with two workers."""
    with serving(["--workers", "2"], env={"ASHAPP_MANAGEMENT_PORT": "0"}) as process:
        yield process


@pytest.fixture
def visit(browser: Browser, server: ServerProcess) -> Iterator[Visit]:
    """Opens pages; none of them may have had anything to complain of."""
    visitor = Visit(browser, server.base_url)
    yield visitor
    visitor.end()
    assert visitor.complaints == []
