# SPDX-License-Identifier: MIT
"""Ways to ask the server that a folder or a file of tests has for itself: its fixture ``server``."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.client import Address
from tests.support.process import ServerProcess


@pytest.fixture
def address(server: ServerProcess) -> Address:
    return server.address


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    """A client without cookies."""
    with httpx.Client(base_url=server.base_url, trust_env=False, verify=False, timeout=20) as client:
        yield client
