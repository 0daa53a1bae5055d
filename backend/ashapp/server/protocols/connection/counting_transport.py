# SPDX-License-Identifier: MIT
"""A transport that counts what is written."""

import asyncio
from typing import Any

__all__ = ["CountingTransport"]


class CountingTransport:
    """Stands for *transport*, counts the calls of its ``write`` and the bytes, and closes it but once.

    A TLS transport that is closed again while it sends what is left can't be looked at nor aborted any more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.writes = 0
        #: Bytes.
        self.written = 0
        self.transport = transport

    def write(self, data: bytes) -> None:
        """Write *data*; see ``asyncio.WriteTransport``."""
        self.writes += 1
        self.written += len(data)
        self.transport.write(data)

    def close(self) -> None:
        """Close it when all is sent; see ``asyncio.BaseTransport``."""
        if not self.transport.is_closing():
            self.transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)
