# SPDX-License-Identifier: MIT
"""A service for each test, whose requests are watched at once."""

import flask
import pytest

from tests.bridge.request.endings.service import Service
from tests.support.journal import Journal


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ashapp.bridge.request.wsgi_call._WATCH_DELAY", 0.02)


@pytest.fixture
def place() -> str:
    return "loop"


@pytest.fixture
def service(app: flask.Flask, journal: Journal, place: str) -> Service:
    return Service(app, journal, place)
