# SPDX-License-Identifier: MIT
import logging
from collections.abc import Iterator

import pytest

from tests.server.supervisors.stub_worker import Service


@pytest.fixture
def service(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Service]:
    """Return a service with two workers, or with what the test's ``flags`` say."""
    caplog.set_level(logging.WARNING, "ashapp.server")
    made = Service(**getattr(request, "param", {}))
    yield made
    made.close()
