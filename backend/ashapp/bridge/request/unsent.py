# SPDX-License-Identifier: MIT
"""What of responses waits for clients to take it, when the application has done with them.

A thread is free as soon as the rest of its response has been handed over to the loop, which sends it at the
client's pace. That takes memory, of which all responses together have a part; past that a thread stays until
the client has taken what there is, as with a server that has no buffer at all.
"""

import threading
from collections.abc import Callable, Iterator

from ashapp.bridge.messages.types import Message

__all__ = ["PIECE", "STREAM", "WriteBehind", "pieces"]

#: Bytes of a complete response that are given to the server at once. What the server has it keeps.
PIECE = 1 << 18

#: Bytes of a stream that wait while there is room for them.
STREAM = 1 << 20

# The part of the memory that is left which they may have.
_PART = 8


class WriteBehind:
    """Counts the bytes that wait, of all responses of a worker; *left* tells the bytes of memory left."""

    def __init__(self, left: Callable[[], float]) -> None:
        self._left = left
        self._mutex = threading.Lock()
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes that have been taken and not been given back."""
        return self._held

    def take(self, size: int) -> bool:
        """Take so many bytes, and say whether there is room for them. From any thread."""
        with self._mutex:
            if (self._held + size) * _PART > self._left():
                return False
            self._held += size
            return True

    def give_back(self, size: int) -> None:
        """Give so many bytes back. From any thread."""
        with self._mutex:
            self._held -= size


def pieces(message: Message) -> Iterator[Message]:
    """Yield *message*; or parts of it, if its body is larger than a server should have at once."""
    body = message.get("body", b"")
    if len(body) <= PIECE:
        yield message
        return
    last = (len(body) - 1) // PIECE * PIECE
    for start in range(0, last, PIECE):
        yield {**message, "body": body[start : start + PIECE], "more_body": True}
    yield {**message, "body": body[last:]}
