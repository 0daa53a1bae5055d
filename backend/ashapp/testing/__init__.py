# SPDX-License-Identifier: MIT
"""Test an ASGI application in its own process: HTTP, streams, WebSockets and the lifespan, without a port.

It needs httpx: ``pip install 'ashapp-backend[testing]'``.
"""

from ashapp.bridge.lifespan_runner import LifespanError

try:
    from ashapp.testing.blocking import Client, WebSocketSession
    from ashapp.testing.client import AsyncClient
    from ashapp.testing.websocket import AsyncWebSocketSession, WebSocketDenied
except ModuleNotFoundError as error:
    if error.name == "httpx":
        error.msg = "ashapp.testing needs httpx: pip install 'ashapp-backend[testing]'"
    raise

__all__ = [
    "AsyncClient",
    "AsyncWebSocketSession",
    "Client",
    "LifespanError",
    "WebSocketDenied",
    "WebSocketSession",
]
