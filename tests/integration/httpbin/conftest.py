# SPDX-License-Identifier: MIT
"""httpbin, unchanged, under ``ashapp serve httpbin:app``: one server for the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.support.process import ServerProcess, serving


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose log must tell of no failure outside of httpbin when the tests are over."""
    with serving(["httpbin:app", "--threads", "64"], cwd=tmp_path_factory.mktemp("httpbin")) as server:
        yield server
        assert server.stop() == 0
        assert "Exception in ASGI application" not in server.stderr
        assert "was never awaited" not in server.stderr
