# SPDX-License-Identifier: MIT
"""The page that is tested, its snippets as a module, and the service that they ask for prices."""

import asyncio
import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import flask
import httpx
import pytest
from asgiref.sync import sync_to_async

from ashapp import FlaskToAsgi
from ashapp.bridge.messages.types import Receive, Scope, Send
from tests.support.page import Page
from tests.support.server import serving

GUIDE = Path(__file__).parents[2] / "docs" / "async.md"

#: Makes a module of the Python of one section: its title, texts to replace, and names that it needs.
Run = Callable[..., "Shop"]


class Shop(ModuleType):
    """Such a module."""

    app: flask.Flask


@pytest.fixture(scope="session")
def guide() -> Page:
    return Page(GUIDE)


@pytest.fixture
def run(guide: Page) -> Run:
    """A function that runs the Python of a section, after what the sections before it have imported."""

    def run(title: str, replaced: dict[str, str] | None = None, **names: Any) -> Shop:
        source = guide.python(title)
        for old, new in (replaced or {}).items():
            assert source.count(old) == 1, f"{old!r} is not in {title!r}, once"
            source = source.replace(old, new)
        module = Shop("shop")
        module.__dict__.update(_imported(), app=flask.Flask("shop"), **names)
        exec(compile(source, f"{guide.path.name}: {title}", "exec"), module.__dict__)
        return module

    return run


def _imported() -> dict[str, Any]:
    return {
        "FlaskToAsgi": FlaskToAsgi,
        "asynccontextmanager": asynccontextmanager,
        "asyncio": asyncio,
        "flask": flask,
        "functools": functools,
        "httpx": httpx,
        "inspect": inspect,
        "itertools": itertools,
        "sync_to_async": sync_to_async,
    }


class Prices:
    """The service with the prices: answers as soon as ``needed`` requests wait for it at once."""

    def __init__(self) -> None:
        self.url = ""
        self.needed = 1
        self.waiting = 0
        self.most = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        while self.most < self.needed:  # noqa: ASYNC110 - what is needed changes on another thread
            await asyncio.sleep(0.005)
        self.waiting -= 1
        headers = [(b"content-type", b"application/json"), (b"content-length", b"11")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"price":3}'})


@pytest.fixture
def prices() -> Iterator[Prices]:
    service = Prices()
    with serving(service, lifespan="off") as (host, port):
        service.url = f"http://{host}:{port}"
        yield service
