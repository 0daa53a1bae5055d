# SPDX-License-Identifier: MIT
"""The socket in the environ of a WebSocket, for libraries that speak the protocol themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ashapp.bridge.messages.types import Environ
    from ashapp.bridge.websocket.connection import Connection

__all__ = ["open_socket"]


def open_socket(environ: Environ, connection: Connection) -> None:
    """Give the application a socket that leads to *connection*, before its call begins."""
