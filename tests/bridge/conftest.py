# SPDX-License-Identifier: MIT
"""An application, a place to note what happens in it, and a server for each parser and loop."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import flask
import pytest

from ashapp.bridge.flask import accelerators
from tests.support.flask import make_app
from tests.support.journal import Journal
from tests.support.server import COMBINATIONS, Combination, Serve, SharedServer


@pytest.fixture
def app() -> flask.Flask:
    return make_app()


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture(params=[True, False], ids=["accelerated", "plain"])
def accelerated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Let the test run with the accelerators of the dispatch, and without; say which."""
    monkeypatch.setattr(accelerators, "ENABLED", request.param)
    enabled: bool = request.param
    return enabled


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an application begin soon though its client is silent in the middle of a body."""
    monkeypatch.setattr("ashapp.bridge.request.uploads.intake._SILENCE", 0.1)


@pytest.fixture(scope="session")
def _servers() -> Iterator[Callable[[Combination], SharedServer]]:
    running: dict[Combination, SharedServer] = {}
    with ExitStack() as stack:

        def get(combination: Combination) -> SharedServer:
            if combination not in running:
                running[combination] = SharedServer()
                stack.enter_context(running[combination].running(combination))
            return running[combination]

        yield get


@pytest.fixture
def serve(request: pytest.FixtureRequest, _servers: Callable[[Combination], SharedServer]) -> Iterator[Serve]:
    """Serve an ASGI application by the parameter's parser and loop; the function returns the address."""
    server = _servers(getattr(request, "param", COMBINATIONS[0]))
    yield server.serve
    server.application = None
