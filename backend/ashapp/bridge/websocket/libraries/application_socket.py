# SPDX-License-Identifier: MIT
"""The end of a socket pair that an application gets as the socket of its request.

It blocks, as the connection of a request does under other servers. In a greenlet, and in a view on the event
loop, it waits without a thread. The relay, which has the other end, then wakes it when there may be something
to read, or room to write.

Several threads and greenlets may write at once: the handler, and those that send pings and answers. The
kernel takes a long message in parts, and would mix the parts of two writers. So each writer waits for its
turn. ``close`` waits for its turn as well, and makes the current write fail.

The loop itself never watches its descriptor: uvloop would make it non-blocking for the threads as well.
"""

import selectors
import socket
import threading
from contextlib import suppress
from typing import Any

from ashapp.bridge.concurrency.greenlets.current import current_greenlet
from ashapp.bridge.websocket.libraries.greenlets import Waiters

__all__ = ["ApplicationSocket", "GreenletSelector"]

# Seconds that ``close`` waits for the write that it has made to fail.
_PATIENCE = 1.0
# As a number: to combine members of an enumeration takes its time.
_AT_ONCE = int(socket.MSG_DONTWAIT)


class ApplicationSocket(socket.socket):
    """The end with the descriptor *fileno*; *client* is the address of the client, if it is known."""

    def __init__(self, fileno: int, client: tuple[str, int] | None) -> None:
        # Held by a writer until all is written.
        self._turn = threading.Lock()
        super().__init__(fileno=fileno)
        #: To be woken when the other end has read or written, or is closed.
        self.waiters = Waiters()
        self._client = client

    def getpeername(self) -> object:
        """Return the address of the client."""
        return super().getpeername() if self._client is None else self._client

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Wait until there is something to read, and return at most *size* bytes of it."""
        if current_greenlet() is None:
            return super().recv(size, flags)
        read: list[bytes] = []
        self.waiters.wait_until(lambda: self._read_into(read, size, flags), None)
        return read[0]

    def is_readable(self, timeout: float | None) -> bool:
        """Wait in a greenlet for something to read, or the end; say whether it came in *timeout* seconds."""
        return self.waiters.wait_until(lambda: self._read_into([], 1, socket.MSG_PEEK), timeout)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Write all of *data*, and return its size."""
        is_thread = current_greenlet() is None
        self._take_turn(None)
        try:
            if is_thread:
                super().sendall(data, flags)
            else:
                left = [memoryview(data)]
                self.waiters.wait_until(lambda: self._write_from(left, flags), None)
        finally:
            self._turn.release()
            self.waiters.wake()
        return len(data)

    def close(self) -> None:
        """Close it when no writer uses it: right after that the descriptor may be another connection's."""
        if self._io_refs > 0:  # type: ignore[attr-defined]  # of ``socket.socket``
            # A file of ``makefile`` is open. The last file to be closed calls this again.
            super().close()
            return
        has_turn = self._turn.acquire(blocking=False)
        if not has_turn:
            with suppress(OSError):  # the other end has been closed
                self.shutdown(socket.SHUT_RDWR)
            self.waiters.wake()
            has_turn = self._take_turn(_PATIENCE)
        try:
            super().close()
        finally:
            if has_turn:
                self._turn.release()
                self.waiters.wake()

    def _take_turn(self, timeout: float | None) -> bool:
        if current_greenlet() is None:
            return self._turn.acquire(timeout=-1 if timeout is None else timeout)
        return self.waiters.wait_until(lambda: self._turn.acquire(blocking=False), timeout)

    def _read_into(self, read: list[bytes], size: int, flags: int) -> bool:
        with suppress(BlockingIOError):
            read.append(super().recv(size, flags | _AT_ONCE))
            return True
        return False

    def _write_from(self, left: list[memoryview], flags: int) -> bool:
        with suppress(BlockingIOError):
            left[0] = left[0][super().send(left[0], flags | _AT_ONCE) :]
        return not left[0]

    def __del__(self) -> None:
        # A server closes the connection at the end of a request, for not all libraries do.
        self.close()


class GreenletSelector:
    """A selector with which a greenlet may wait for one ``ApplicationSocket`` to be readable."""

    def __init__(self) -> None:
        self._socket: Any = None
        # For threads: this one has a descriptor of its own.
        self._selector: selectors.BaseSelector | None = None

    def register(self, sock: Any, events: int, data: object = None) -> None:  # noqa: ARG002
        """Wait for *sock* in ``select``."""
        self._socket = sock

    def select(self, timeout: float | None = None) -> object:
        """Return something true if the socket is readable within *timeout* seconds."""
        if current_greenlet() is not None:
            return self._socket.is_readable(timeout)
        if self._selector is None:
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._socket, selectors.EVENT_READ)
        return self._selector.select(timeout)

    def close(self) -> None:
        """Give back what it holds."""
        if self._selector is not None:
            self._selector.close()
