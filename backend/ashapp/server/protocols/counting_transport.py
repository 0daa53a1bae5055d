# SPDX-License-Identifier: MIT
"""A transport that counts what is written."""

import asyncio
from typing import Any

__all__ = ["CountingTransport"]


class CountingTransport:
    """Stands for *transport*, and counts the calls of its ``write``."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.writes = 0
        self.transport = transport

    def write(self, data: bytes) -> None:
        """Write *data*; see ``asyncio.WriteTransport``."""
        self.writes += 1
        self.transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)
