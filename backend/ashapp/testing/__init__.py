# SPDX-License-Identifier: MIT
"""Test an ASGI application in its own process: HTTP, streams, WebSockets and the lifespan, without a port.

It needs httpx: ``pip install 'ashapp-backend[testing]'``.
"""

from ashapp.testing.blocking import BlockingWebSocket, Client
from ashapp.testing.client import AsyncClient
from ashapp.testing.lifespan import LifespanError
from ashapp.testing.websocket import WebSocketClosed, WebSocketConnection, WebSocketDenied

__all__ = [
    "AsyncClient",
    "BlockingWebSocket",
    "Client",
    "LifespanError",
    "WebSocketClosed",
    "WebSocketConnection",
    "WebSocketDenied",
]
