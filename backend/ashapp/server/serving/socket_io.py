# SPDX-License-Identifier: MIT
"""Warnings at the start for an application with Flask-SocketIO.

A client that polls asks for events by one request after the other. Each of them holds a thread of requests
until there is an event or the next ping is due, and can't be interrupted. Also, each may come to another
worker, and only one worker knows the client's session.
"""

from collections.abc import Iterator

from flask import Flask

from ashapp.bridge.websocket.libraries.socket_io import adopted_path
from ashapp.server.introspection.routes import flask_application
from ashapp.server.settings.model import Settings

__all__ = ["socket_io_warnings"]

# With this many threads a service may be meant for clients that poll.
_MANY_THREADS = 100


def socket_io_warnings(found: object, settings: Settings) -> Iterator[str]:
    """Yield a line for each thing in *found* that will not work, or not well."""
    app = flask_application(found)
    server = None if app is None else getattr(app.extensions.get("socketio"), "server", None)
    if app is None or server is None:
        return
    engine, name = server.eio, settings.app
    if engine.async_mode != "threading":
        yield (
            f'{name} has SocketIO(async_mode={engine.async_mode!r}): only "threading" works here, '
            "and needs no monkey patching"
        )
    if settings.worker_count > 1 and not _has_queue(server.manager):
        yield (
            f"{name} emits to the Socket.IO clients of one worker alone, as SocketIO has no message_queue, "
            f"and there are {settings.worker_count} workers"
        )
    if "polling" in engine.transports:
        yield from _polling_warnings(app, settings, engine.ping_interval)


def _polling_warnings(app: Flask, settings: Settings, ping_interval: float) -> Iterator[str]:
    """Yield a line for each difficulty with clients that poll; each poll takes *ping_interval*."""
    name = settings.app
    if settings.worker_count > 1:
        yield (
            f"{name} lets Socket.IO clients poll, whose requests reach any of {settings.worker_count} "
            'workers, but only one knows their session: SocketIO(transports=["websocket"]), or 1 worker'
        )
    if settings.threads < _MANY_THREADS and adopted_path(app) is None:
        yield (
            f"{name} lets Socket.IO clients poll, each of which holds one of {settings.threads} threads "
            'nearly all the time: ashapp.adopt_socketio, SocketIO(transports=["websocket"]), or more threads'
        )
    timeout = settings.request_timeout
    if timeout is not None and timeout <= ping_interval:
        yield (
            f"{name} lets Socket.IO clients poll, which wait for {ping_interval:g} s: "
            f"request_timeout = {timeout:g} ends that with 504"
        )


def _has_queue(manager: object) -> bool:
    """Say whether *manager* of python-socketio emits through a message queue, to other workers too."""
    return any(kind.__name__ == "PubSubManager" for kind in type(manager).__mro__)
