# SPDX-License-Identifier: MIT
"""What a client may send, and for how long it may keep a connection waiting."""

import math
from dataclasses import dataclass

__all__ = ["LINGER", "ConnectionLimits"]

#: Seconds for which a connection is still read after a refusal, or after its end.
LINGER = 2.0

_LONGEST_INTERVAL = 1.0
_SHORTEST_INTERVAL = 0.05


@dataclass(frozen=True)
class ConnectionLimits:
    """Sizes in bytes, times in seconds (``math.inf`` for any time)."""

    #: Length of the request target (RFC 9112, 3.2).
    target: int = 16384
    #: Number of header fields.
    fields: int = 100
    #: Length of the head: request line and header fields.
    head: int = 32768
    #: Time from the first byte of a request, or from the beginning of a connection, to the end of the head.
    head_seconds: float = 10
    #: Time in which a client must send more of a body, until the response begins: at least one byte, and
    #: on average `body_rate` bytes per second.
    body_seconds: float = 30
    body_rate: int = 240
    #: Time in which a client must take something of a response.
    send_seconds: float = 120
    #: Time that the application may let pass between two parts of a response.
    stream_seconds: float = math.inf

    @property
    def interval(self) -> float:
        """Seconds between two looks at a connection: so long may a limit of time be overdrawn, twice."""
        shortest = min(self.head_seconds, self.body_seconds, self.send_seconds, self.stream_seconds)
        return min(max(shortest / 4, _SHORTEST_INTERVAL), _LONGEST_INTERVAL)

    @property
    def body_window(self) -> float:
        """Bytes that a client must send within `body_seconds`."""
        return max(1.0, self.body_rate * self.body_seconds)
