# SPDX-License-Identifier: MIT
"""Responses by httptools that end with the connection: those of unknown length for HTTP/1.0 (RFC 9112, 6.3).

Such a client knows no chunks, so that a response that is cut off looks complete to it; unless the connection
ends by a reset, which it does for as long as the response is not complete, whatever ends it.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ashapp.server.protocols.connection.reset import end_by_reset

__all__ = ["CloseDelimitedCycle"]


class CloseDelimitedCycle(RequestResponseCycle):
    """uvicorn's request and response, where the client speaks HTTP/1.0."""

    _length_is_unknown = False

    async def send(self, message: Any) -> None:
        """Send *message*, without the framing that is for HTTP/1.1."""
        if not self.response_started and message["type"] == "http.response.start":
            message = self._unframed(message)
        elif self._length_is_unknown:
            self.expected_content_length = len(message.get("body", b""))
            if not message.get("more_body", False):
                end_by_reset(self.transport, is_cut=False)
        await super().send(message)

    def _unframed(self, message: Any) -> Any:
        fields = [field for field in message.get("headers", ()) if field[0] != b"transfer-encoding"]
        if all(name != b"content-length" for name, _ in fields):
            self._length_is_unknown = True
            self.chunked_encoding = False
            end_by_reset(self.transport, is_cut=True)
        return {**message, "headers": fields}
