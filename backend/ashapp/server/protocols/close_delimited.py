# SPDX-License-Identifier: MIT
"""Responses to clients of HTTP/1.0, which know no chunks (RFC 9112, 6.1)."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

__all__ = ["CloseDelimitedCycle"]


class CloseDelimitedCycle(RequestResponseCycle):
    """uvicorn's for httptools; a response of unknown length ends with the connection (RFC 9112, 6.3)."""

    _length_is_unknown = False

    async def send(self, message: Any) -> None:
        """Send *message*, without the framing that is for HTTP/1.1."""
        if not self.response_started and message["type"] == "http.response.start":
            fields = [field for field in message.get("headers", ()) if field[0] != b"transfer-encoding"]
            message = {**message, "headers": fields}
            if all(name != b"content-length" for name, _ in fields):
                self._length_is_unknown = True
                self.chunked_encoding = False
        elif self._length_is_unknown:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
