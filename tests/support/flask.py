# SPDX-License-Identifier: MIT
"""Flask applications for tests, and requests to them that are under way."""

import asyncio
from collections.abc import Iterable, Mapping
from importlib import metadata
from types import MappingProxyType
from typing import Any

import flask
import pytest
from packaging.version import Version

from tests.support.asgi import Application, Client, http_scope

_FLASK = Version(metadata.version("flask"))

__all__ = ["IS_MERGED", "Pending", "accelerated_release", "begin", "make_app", "since", "until"]

#: Whether there is one class of contexts, with or without a request: from Flask 3.2 on.
IS_MERGED = "request_ctx" not in vars(flask.globals)


def since(version: str, reason: str, package: str = "flask") -> pytest.MarkDecorator:
    """Mark what is so in this *version* of a package, and later."""
    return pytest.mark.skipif(Version(metadata.version(package)) < Version(version), reason=reason)


def until(version: str, reason: str, package: str = "flask") -> pytest.MarkDecorator:
    """Mark what was so until this *version* of a package, with its development versions."""
    is_later = Version(f"{version}.dev0") <= Version(metadata.version(package))
    return pytest.mark.skipif(is_later, reason=reason)


#: For tests of shortcuts that are made for the methods of these releases.
accelerated_release = pytest.mark.skipif(
    not Version("3.1.3") <= _FLASK < Version("3.2.0.dev0"),
    reason="other releases of Flask have other methods, which are called as they are",
)


def make_app() -> flask.Flask:
    """Return an application without routes, with a secret key."""
    app = flask.Flask(__name__)
    app.secret_key = "not a secret"
    return app


class Pending:
    """A request that a task serves."""

    def __init__(self, client: Client, task: asyncio.Task[Any]) -> None:
        self.client = client
        self.task = task

    async def end(self) -> Client:
        """Wait until it has been served, and return its client; raise what the application raised."""
        async with asyncio.timeout(20):
            await self.task
        return self.client


def begin(
    application: Application,
    method: str = "GET",
    target: bytes = b"/",
    *,
    client: Client | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
    entries: Mapping[str, Any] = MappingProxyType({}),
) -> Pending:
    """Begin to serve a request, as a server does: in a task of its own; with *entries* of the scope."""
    client = client or Client()
    scope = http_scope(method, target, headers, **entries)
    return Pending(client, asyncio.ensure_future(application(scope, client.receive, client.send)))
