# SPDX-License-Identifier: MIT
"""Tell the client by a reset that a response is cut off, where the end of the connection ends a response."""

import asyncio
import socket
import struct
from contextlib import suppress

__all__ = ["end_by_reset"]


def end_by_reset(transport: asyncio.Transport, *, is_cut: bool) -> None:
    """Let the connection of *transport* end by a reset from now on, whatever ends it; or no longer so."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", is_cut, 0))
