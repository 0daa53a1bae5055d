# SPDX-License-Identifier: MIT
"""WebSockets."""

import asyncio
import time
from typing import Annotated

from ashapp.api.openapi.operations import Routes
from ashapp.api.openapi.parameters import Value
from ashapp.api.routes.streams import INTERVAL
from ashapp.bridge import BlockingWebSocket, WebSocket

__all__ = ["routes", "ws_echo", "ws_ticks"]

routes = Routes("WebSockets", "WebSockets, whose handshake is a GET request (RFC 6455). OpenAPI knows none.")

# Seconds that an echo may last.
_LONGEST = 3600.0


@routes.add("/ws/echo", is_websocket=True)
async def ws_echo(ws: WebSocket) -> None:
    """Send each message back, text as text and bytes as bytes, for an hour at most, from the loop."""
    try:
        async with asyncio.timeout(_LONGEST):
            async for message in ws:
                await ws.send(message)
    except TimeoutError:
        await ws.close(1000, f"the time of {_LONGEST:g} s is up")


@routes.add("/ws/ticks", is_websocket=True)
def ws_ticks(
    ws: BlockingWebSocket,
    count: Annotated[int, Value("How many messages there are.", 3, least=1, most=1000)] = 3,
    interval: Annotated[float, INTERVAL] = 0.5,
) -> None:
    """Send numbered messages from a sync handler, which has a thread of its own."""
    for number in range(1, count + 1):
        if number > 1:
            time.sleep(interval)
        ws.send_json({"number": number, "of": count})
