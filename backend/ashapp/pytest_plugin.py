# SPDX-License-Identifier: MIT
"""The plugin for pytest: the fixture ``ashapp_client``.

It imports nothing else of this package until a test asks for the fixture.
"""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ashapp.testing import Client

__all__ = ["ashapp_client"]


@pytest.fixture
def ashapp_client(app: Any) -> "Iterator[Client]":
    """Give a ``Client`` of the application that the test's own fixture ``app`` gives."""
    from ashapp.testing import Client  # noqa: PLC0415 - not in each run of pytest

    with Client(app) as client:
        yield client
