# SPDX-License-Identifier: MIT
"""Chunked bodies by h11, without what it is lenient about: extensions and trailers of any bytes, bare LFs."""

from typing import Any

from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer

from ashapp.server.protocols.head import check_lines

__all__ = ["StrictChunkedReader"]

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
