# SPDX-License-Identifier: MIT
"""A pytest plugin that puts the bridge in the place of ``asgiref.wsgi``'s classes."""

from typing import Any

import asgiref.wsgi

import ashapp
from ashapp.bridge.messages.types import Environ, Message, Receive, Scope, Send

from .outcomes import count_request

# What a message means without these keys (ASGI, "Response Body - send event").
_DEFAULTS = {"body": b"", "more_body": False}


class _WsgiToAsgi(ashapp.WsgiToAsgi):
    """The bridge, but that a message leaves out what it may: the suite compares the dicts."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_briefly(message: Message) -> None:
            await send({key: value for key, value in message.items() if _DEFAULTS.get(key) != value})

        await super().__call__(scope, receive, send_briefly)

    def build_environ(self, scope: Scope, body: Any) -> Environ:
        count_request()
        return super().build_environ(scope, body)


class _WsgiToAsgiInstance:
    """asgiref's class for one request, of which its tests call only ``build_environ``."""

    def __init__(self, wsgi_application: object) -> None:
        assert wsgi_application is None
        self.build_environ = _WsgiToAsgi(_no_application).build_environ


def _no_application(_environ: Environ, _start_response: Any) -> list[bytes]:
    raise NotImplementedError


def pytest_configure() -> None:
    asgiref.wsgi.WsgiToAsgi = _WsgiToAsgi  # type: ignore[misc]
    asgiref.wsgi.WsgiToAsgiInstance = _WsgiToAsgiInstance  # type: ignore[misc,assignment]
