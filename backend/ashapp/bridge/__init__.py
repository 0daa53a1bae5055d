# SPDX-License-Identifier: MIT
"""Flask and WSGI on ASGI. Usable alone, under any ASGI server."""

from ashapp.bridge.concurrency.thread_locals import isolate_thread_locals
from ashapp.bridge.flask.application import BridgeOptions, FlaskToAsgi
from ashapp.bridge.messages.errors import ClientDisconnected
from ashapp.bridge.placement.nonblocking import nonblocking, on_thread
from ashapp.bridge.wsgi import DEFAULT_THREADS, WsgiToAsgi

__all__ = [
    "DEFAULT_THREADS",
    "BridgeOptions",
    "ClientDisconnected",
    "FlaskToAsgi",
    "WsgiToAsgi",
    "isolate_thread_locals",
    "nonblocking",
    "on_thread",
]
