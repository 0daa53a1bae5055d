# SPDX-License-Identifier: MIT
"""Private parts of h11, and of uvicorn's protocol for it. This is imported only where h11 is chosen."""

from typing import Any

import h11
from h11._readers import ChunkedReader
from uvicorn.protocols.http.h11_impl import H11Protocol

from ashapp.server.protocols.head import check_lines

__all__ = ["BaseH11Connection", "BaseH11Protocol"]


class BaseH11Protocol(H11Protocol):
    """Asks another method whether to upgrade."""

    def takes_upgrade(self) -> bool:
        """Return whether the latest request is a WebSocket handshake that is taken."""
        raise NotImplementedError

    def _should_upgrade(self) -> bool:
        return self.takes_upgrade()


class BaseH11Connection(h11.Connection):
    """h11, but strict with chunked bodies: no bare LFs, nor controls in extensions and trailers (400)."""

    def skip_empty_lines(self) -> None:
        """Skip those before a request: some clients end a body with one (RFC 9112, 2.2)."""
        received = self.trailing_data[0]
        self._receive_buffer.maybe_extract_at_most(len(received) - len(received.lstrip(b"\r\n")))

    def _get_io_object(self, *args: Any) -> Any:
        found = super()._get_io_object(*args)
        return _StrictChunkedReader() if isinstance(found, ChunkedReader) else found


class _StrictChunkedReader(ChunkedReader):
    """Checks each line before it is understood (RFC 9112, 7.1)."""

    def __call__(self, buf: Any) -> Any:
        # From the last chunk, h11 goes on by calling itself.
        strict: Any = buf if isinstance(buf, _StrictBuffer) else _StrictBuffer(buf)
        return super().__call__(strict)


class _StrictBuffer:
    """Stands for h11's *buffer* while a chunked body is read from it."""

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer
        self.maybe_extract_at_most = buffer.maybe_extract_at_most

    def maybe_extract_next_line(self) -> Any:
        line = self._buffer.maybe_extract_next_line()
        check_lines(bytes(self._buffer) if line is None else line)
        return line

    def maybe_extract_lines(self) -> Any:
        received = bytes(self._buffer)
        if not received.startswith(b"\r\n"):
            trailer, end, _ = received.partition(b"\r\n\r\n")
            check_lines(trailer + end)
        return self._buffer.maybe_extract_lines()
