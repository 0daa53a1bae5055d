# SPDX-License-Identifier: MIT
"""Flask and WSGI on ASGI. Usable alone, under any ASGI server."""

from ashapp.bridge.concurrency.threads.thread_locals import isolate_thread_locals
from ashapp.bridge.flask.application import FlaskToAsgi
from ashapp.bridge.loop_or_thread.marks import nonblocking, on_thread
from ashapp.bridge.messages.errors import ClientDisconnected
from ashapp.bridge.options import DEFAULT_THREADS, BridgeOptions
from ashapp.bridge.streams.event import Event
from ashapp.bridge.streams.sse import sse
from ashapp.bridge.websocket.handler_sockets import BlockingWebSocket, WebSocket
from ashapp.bridge.websocket.libraries.socket_io import adopt_socketio
from ashapp.bridge.websocket.rules import websocket
from ashapp.bridge.websocket.state import WebSocketClosed
from ashapp.bridge.wsgi import WsgiToAsgi

__all__ = [
    "DEFAULT_THREADS",
    "BlockingWebSocket",
    "BridgeOptions",
    "ClientDisconnected",
    "Event",
    "FlaskToAsgi",
    "WebSocket",
    "WebSocketClosed",
    "WsgiToAsgi",
    "adopt_socketio",
    "isolate_thread_locals",
    "nonblocking",
    "on_thread",
    "sse",
    "websocket",
]
