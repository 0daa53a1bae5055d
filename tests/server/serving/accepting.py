# SPDX-License-Identifier: MIT
"""A server on a thread of the test process, with settings as a service has them."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from ashapp.server.health.state import Health
from ashapp.server.protocols import limited_protocol
from ashapp.server.serving.draining_server import DrainingServer
from ashapp.server.settings.loading import load
from tests.support.client import Address
from tests.support.waiting import PATIENCE, until

__all__ = ["accepting", "serving"]


@contextmanager
def serving(
    application: Any, *, kind: type[socket.socket] = socket.socket, **flags: Any
) -> Iterator[Address]:
    """Serve *application* at a free port of 127.0.0.1, with a listener of *kind*."""
    with kind(proto=socket.IPPROTO_TCP) as listener, accepting(application, listener, **flags):
        yield listener.getsockname()


@contextmanager
def accepting(application: Any, listener: socket.socket, **flags: Any) -> Iterator[DrainingServer]:
    """Serve what comes to *listener*, which may be bound already."""
    settings = load({"host": "127.0.0.1", "port": "0", "drain_delay": 0, "lifespan": "off", **flags})
    options = settings.uvicorn_config()
    options["http"] = limited_protocol(settings.http, settings.connection_limits)
    server = DrainingServer(uvicorn.Config(application, log_config=None, **options), settings, Health())
    if listener.family == socket.AF_INET and not listener.getsockname()[1]:
        listener.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        until(lambda: server.started)
        yield server
    finally:
        server.hurry()
        thread.join(PATIENCE)
        assert not thread.is_alive()
