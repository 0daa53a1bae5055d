# SPDX-License-Identifier: MIT
"""Handlers that echo what they receive, of either kind."""

import flask

from ashapp import BlockingWebSocket, WebSocket, websocket

__all__ = ["add_echoes"]


def add_echoes(app: flask.Flask) -> None:
    """Serve an async one at ``/echo`` and a sync one at ``/sync``."""

    @websocket(app, "/echo")
    async def echo(ws: WebSocket) -> None:
        async for message in ws:
            await ws.send(message)

    @websocket(app, "/sync")
    def blocking_echo(ws: BlockingWebSocket) -> None:
        for message in ws:
            ws.send(message)
