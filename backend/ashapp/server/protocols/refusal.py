# SPDX-License-Identifier: MIT
"""The answer to a request that is not passed on: problem details (RFC 9457); then the connection ends."""

import json
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus

__all__ = ["Refusal", "refused"]

#: How many requests this process has refused before they reached the application, by status.
refused: Counter[int] = Counter()


class Refusal(Exception):  # noqa: N818 - an outcome that the client is told of, not a fault
    """A request is wrong or too late: *status* is the code to answer with, *detail* says why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail

    def response(self, default_headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
        """Return the response (RFC 9112, 4), with *default_headers* but for what must be as it is here."""
        phrase = HTTPStatus(self.status).phrase
        document = {"type": "about:blank", "title": phrase, "status": self.status, "detail": self.detail}
        body = json.dumps(document).encode()
        own = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            # Where the next request begins is not known, or is not to be waited for (RFC 9112, 9.3 and 9.6).
            (b"connection", b"close"),
        ]
        names = {name for name, _ in own}
        others = [(name, value) for name, value in default_headers if name.lower() not in names]
        fields = b"".join(b"%s: %s\r\n" % field for field in [*others, *own])
        return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (self.status, phrase.encode(), fields, body)
