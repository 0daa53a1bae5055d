# SPDX-License-Identifier: MIT
"""httpbin, unchanged, under ``ashapp serve httpbin:app``: one server for the tests of this folder."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.client import Address
from tests.support.process import ServerProcess, serving


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose log must tell of no failure outside of httpbin when the tests are over."""
    with serving(["httpbin:app", "--threads", "64"], cwd=tmp_path_factory.mktemp("httpbin")) as server:
        yield server
        assert server.stop() == 0
        assert "Exception in ASGI application" not in server.stderr
        assert "was never awaited" not in server.stderr


@pytest.fixture(scope="package")
def address(server: ServerProcess) -> Address:
    return server.address


@pytest.fixture(scope="package")
def _client(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base_url, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def client(_client: httpx.Client) -> httpx.Client:
    """One for all tests, whose connections are so used over and over; without cookies."""
    _client.cookies.clear()
    return _client
