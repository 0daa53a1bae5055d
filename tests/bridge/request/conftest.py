# SPDX-License-Identifier: MIT
"""Views in each place where they may run."""

import asyncio
from collections.abc import Callable
from typing import Any

import flask
import pytest

from ashapp.bridge.wsgi import WsgiToAsgi
from tests.bridge.request.wsgi_applications import Adapter, OnLoop


@pytest.fixture(params=["thread", "loop"])
def place(request: pytest.FixtureRequest) -> str:
    """Where the view runs."""
    return str(request.param)


@pytest.fixture
def add_view(app: flask.Flask, place: str) -> Callable[..., None]:
    """A function that adds a view of what a sync function returns, in that place."""

    def add(function: Callable[[], Any], target: str = "/") -> None:
        async def on_loop() -> Any:
            await asyncio.sleep(0)
            return function()

        view = on_loop if place == "loop" else function
        app.add_url_rule(target, target, view, methods=["GET", "POST"])

    return add


@pytest.fixture(params=[WsgiToAsgi, OnLoop], ids=["thread", "loop"])
def adapt(request: pytest.FixtureRequest) -> Adapter:
    adapter: Adapter = request.param
    return adapter
