# SPDX-License-Identifier: MIT
"""An application, a place to note what happens in it, and one uvicorn for all tests of a run."""

from collections.abc import Iterator

import flask
import pytest

from tests.support.flask import make_app
from tests.support.journal import Journal
from tests.support.server import COMBINATIONS, Serve, SharedServer


@pytest.fixture
def app() -> flask.Flask:
    return make_app()


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture(scope="session")
def _server() -> Iterator[SharedServer]:
    server = SharedServer()
    with server.running(COMBINATIONS[0]):
        yield server


@pytest.fixture
def serve(_server: SharedServer) -> Iterator[Serve]:
    """A function that serves an ASGI application by uvicorn and returns its address."""
    yield _server.serve
    _server.application = None
