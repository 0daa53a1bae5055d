# SPDX-License-Identifier: MIT
"""The service as its users see it: at ``ASHAPP_SMOKE_URL``, or in a container that is started here."""

from collections.abc import Iterator

import httpx
import pytest

from tests.container.conftest import DEPLOYED

# Seconds: a deployed service may be far away, or just be starting.
TIMEOUT = 30


@pytest.fixture(scope="session")
def base_url(request: pytest.FixtureRequest) -> str:
    """The address, without a slash at its end."""
    if DEPLOYED:
        return DEPLOYED
    return str(request.getfixturevalue("service").url())


@pytest.fixture(scope="session")
def client(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base_url, trust_env=bool(DEPLOYED), timeout=TIMEOUT) as client:
        yield client
