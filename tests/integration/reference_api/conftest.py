# SPDX-License-Identifier: MIT
"""The reference API, as ``ashapp serve`` serves it: one server for most of the tests of this folder."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.client import Address
from tests.support.process import ServerProcess, serving


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose log must tell of nothing but its start and its end."""
    folder = tmp_path_factory.mktemp("reference")
    with serving(cwd=folder, env={"ASHAPP_COMMIT": "0123abc"}) as server:
        yield server
        assert server.stop() == 0
        assert "ERROR" not in server.stderr
        assert "WARNING" not in server.stderr
        assert "Traceback" not in server.stderr


@pytest.fixture(scope="package")
def address(server: ServerProcess) -> Address:
    return server.address


@pytest.fixture(scope="package")
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base_url, trust_env=False, timeout=20) as client:
        yield client
