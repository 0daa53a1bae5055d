# SPDX-License-Identifier: MIT
"""An application whose WebSockets tell which process serves them."""

import os

from flask import Flask

from ashapp import WebSocket, websocket

app = Flask(__name__)


@websocket(app, "/")
async def tell_process(ws: WebSocket) -> None:
    """Send the id of the process, then send back what comes."""
    await ws.send(str(os.getpid()))
    async for message in ws:
        await ws.send(message)
