# SPDX-License-Identifier: MIT
"""Bodies by h11.

Chunked ones are read without what h11 is lenient about: extensions and trailers of any bytes, bare LFs. Those
that end with the connection are written so that the client sees it if they are cut off (`close_delimited`).
"""

import asyncio
from typing import Any

from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from h11._writers import Http10Writer

from ashapp.server.protocols.connection.reset import end_by_reset
from ashapp.server.protocols.messages.head import check_lines

__all__ = ["CloseDelimitedWriter", "StrictChunkedReader"]

_EMPTY_LINE = b"\r\n"
_END = b"\r\n\r\n"


class StrictChunkedReader(ChunkedReader):
    """h11's reader, for which each line is checked before it is understood (RFC 9112, 7.1).

    Calling it raises `Refusal` for a line that is wrong: 400.
    """

    def __call__(self, buf: ReceiveBuffer) -> Any:
        """Return the next event of what is in *buf*, None where more is needed."""
        # From the last chunk, h11 goes on by calling itself.
        strict: Any = buf if isinstance(buf, _StrictBuffer) else _StrictBuffer(buf)
        return super().__call__(strict)


class _StrictBuffer:
    """Stands for h11's buffer while a chunked body is read from it."""

    def __init__(self, buffer: ReceiveBuffer) -> None:
        self._buffer = buffer
        self.maybe_extract_at_most = buffer.maybe_extract_at_most

    def maybe_extract_next_line(self) -> bytearray | None:
        line = self._buffer.maybe_extract_next_line()
        check_lines(bytes(self._buffer) if line is None else line)
        return line

    def maybe_extract_lines(self) -> list[bytearray] | None:
        received = bytes(self._buffer)
        if not received.startswith(_EMPTY_LINE):
            trailer, end, _ = received.partition(_END)
            check_lines(trailer + end)
        return self._buffer.maybe_extract_lines()


class CloseDelimitedWriter(Http10Writer):
    """h11's writer of a body of unknown length for HTTP/1.0, to *transport*."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        end_by_reset(transport, is_cut=True)

    def send_eom(self, headers: Any, write: Any) -> None:
        """Take note that the body is complete."""
        end_by_reset(self._transport, is_cut=False)
        super().send_eom(headers, write)
