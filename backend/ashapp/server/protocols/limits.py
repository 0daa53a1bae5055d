# SPDX-License-Identifier: MIT
"""Limits of a connection, the phases that they bound, and the refusal that a client gets.

A refused request is answered with problem details (RFC 9457); then the connection ends.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from enum import Enum, auto
from http import HTTPStatus
from typing import NamedTuple

__all__ = ["AFTER_SENDING", "LINGER", "ConnectionLimits", "Phase", "Refusal", "patience", "refused"]

#: Seconds for which a connection is still read after a refusal, or after its end.
LINGER = 2.0

_LONGEST_INTERVAL = 1.0
_SHORTEST_INTERVAL = 0.05


class ConnectionLimits(NamedTuple):
    """Sizes in bytes, times in seconds (``math.inf`` for any time)."""

    #: Length of the request target (RFC 9112, 3.2).
    target: int = 16384
    #: Number of header fields.
    fields: int = 100
    #: Length of the head: request line and header fields.
    head: int = 32768
    #: Time from the first byte of a request, or from the beginning of a connection, to the end of the head.
    head_seconds: float = 10
    #: Time in which a client must send more of a body, until the response begins. It must send at least one
    #: byte, and `body_rate` bytes per second on average.
    body_seconds: float = 30
    body_rate: int = 240
    #: Time in which a client must take something of a response.
    send_seconds: float = 120
    #: Time for the application between two parts of a response.
    stream_seconds: float = math.inf

    @property
    def interval(self) -> float:
        """Seconds between two looks at a connection. Limits may be exceeded by up to two intervals."""
        shortest = min(self.head_seconds, self.body_seconds, self.send_seconds, self.stream_seconds)
        return min(max(shortest / 4, _SHORTEST_INTERVAL), _LONGEST_INTERVAL)

    @property
    def body_window(self) -> float:
        """Bytes that a client must send within `body_seconds`."""
        return max(1.0, self.body_rate * self.body_seconds)


class Phase(Enum):
    """What a connection waits for."""

    HEAD = auto()  # the client, to complete the head of a request, or to begin the first one
    BODY = auto()  # the client, to send more of a body
    TURN = auto()  # its turn: to parse received bytes, or to refuse a request
    RESPONSE = auto()  # the application, to begin the response
    STREAM = auto()  # the application, to go on with the response
    SENDING = auto()  # the client, to take the written bytes
    IDLE = auto()  # the client, to send another request, or the rest of a body that nobody reads
    LINGER = auto()  # the client, to close a connection on which nothing more is answered
    WEBSOCKET = auto()  # whatever its other protocol waits for
    END = auto()  # the client, to close its half of a TLS connection that is closed here


#: Phases that begin only when the client has taken what was written.
AFTER_SENDING = {Phase.HEAD, Phase.STREAM, Phase.IDLE, Phase.LINGER, Phase.WEBSOCKET, Phase.END}


def patience(phase: Phase, limits: ConnectionLimits, keep_alive: float) -> float:
    """Return the seconds that *phase* may last by *limits*; an idle connection is kept for *keep_alive*."""
    return {
        Phase.HEAD: limits.head_seconds,
        Phase.BODY: limits.body_seconds,
        Phase.IDLE: keep_alive,
        Phase.STREAM: limits.stream_seconds,
        Phase.LINGER: LINGER,
        Phase.END: LINGER,
    }.get(phase, math.inf)


#: How many requests this process has refused before they reached the application, by status.
refused: Counter[int] = Counter()


class Refusal(Exception):  # noqa: N818 - an outcome that the client is told of, not a fault
    """A request is wrong or too late: *status* is the code to answer with, *detail* says why.

    The response has *fields* besides what each refusal has.
    """

    def __init__(self, status: int, detail: str, *fields: tuple[bytes, bytes]) -> None:
        super().__init__(detail)
        self.fields = fields
        self.status = status
        self.detail = detail

    def response(self, default_headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
        """Return the response (RFC 9112, 4). Its own fields replace those of *default_headers*."""
        phrase = HTTPStatus(self.status).phrase
        document = {"type": "about:blank", "title": phrase, "status": self.status, "detail": self.detail}
        body = json.dumps(document).encode()
        own = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            # The beginning of the next request is unknown, or not worth a wait (RFC 9112, 9.3 and 9.6).
            (b"connection", b"close"),
            *self.fields,
        ]
        names = {name for name, _ in own}
        others = [(name, value) for name, value in default_headers if name.lower() not in names]
        fields = b"".join(b"%s: %s\r\n" % field for field in [*others, *own])
        return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (self.status, phrase.encode(), fields, body)
