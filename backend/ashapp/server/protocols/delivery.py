# SPDX-License-Identifier: MIT
"""How many of the written bytes the peer of a connection has taken, and whether it has sent something.

Theory of operation. The size of a transport's write buffer does not tell whether the peer reads: a stream
fills the buffer again at once, and the kernel has buffers of its own. Linux counts the bytes that a TCP peer
has acknowledged (tcp(7), TCP_INFO; RFC 4898, tcpEStatsAppHCThruOctetsAcked). For other sockets, and on other
systems, the measure is how much the transport has handed to the kernel, and how much of that is queued there.
For this, written bytes are counted here.
"""

import selectors
import socket
import sys
from asyncio import Transport
from typing import Any

if sys.platform == "linux":
    import fcntl
    import termios

__all__ = ["CountingTransport", "Delivery", "counted", "has_arrived", "queued", "unsent"]

# The place of tcpi_bytes_acked in struct tcp_info (linux/tcp.h), a number of 64 bits.
_ACKNOWLEDGED = slice(120, 128)


class CountingTransport:
    """Stands for *transport*: counts the calls of ``write`` and the bytes, and closes it only once.

    A TLS transport that is closed a second time, while it sends its last bytes, can't be watched or aborted.
    """

    def __init__(self, transport: Transport) -> None:
        self.writes = 0
        #: Bytes.
        self.written = 0
        self.transport = transport

    def write(self, data: bytes) -> None:
        """Write *data*; see ``asyncio.WriteTransport``."""
        self.writes += 1
        self.written += len(data)
        self.transport.write(data)

    def close(self) -> None:
        """Close it when all is sent; see ``asyncio.BaseTransport``."""
        if not self.transport.is_closing():
            self.transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


def counted(transport: Transport, *, writes: bool) -> Any:
    """Return a transport that `Delivery` can watch. It counts *writes* if that is asked for."""
    return (
        transport
        if _acknowledges(transport) and not (writes or _is_tls(transport))
        else CountingTransport(transport)
    )


class Delivery:
    """Watches how the peer of *transport* takes written bytes. The transport is `counted`."""

    __slots__ = ("_stalled", "_taken", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._taken: object = None
        self._stalled = 0.0

    @property
    def is_going_on(self) -> bool:
        """Whether written bytes wait in the transport, until the kernel takes them."""
        transport = self._transport
        # A TLS transport does not tell how much it has encrypted and still holds. But if it holds some, the
        # kernel does, too.
        return transport.get_write_buffer_size() > 0 or (_is_tls(transport) and queued(transport) > 0)

    def look(self, seconds: float) -> float:
        """Look again after *seconds*; return for how many seconds the peer has taken nothing at all."""
        taken = _taken(self._transport)
        self._stalled = self._stalled + seconds if taken == self._taken else 0.0
        self._taken = taken
        return self._stalled


def unsent(transport: Transport) -> int:
    """Return how many written bytes the peer has not taken yet, as far as that is known.

    A TLS transport tells only the bytes that are not encrypted yet. Then at least the bytes queued in the
    kernel count.
    """
    return transport.get_write_buffer_size() + queued(transport)


def queued(transport: Transport) -> int:
    """Return how many bytes are queued in the kernel until the peer takes them; 0 if it does not tell."""
    if sys.platform != "linux":
        return 0
    try:
        answer = fcntl.ioctl(_descriptor(transport), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # there is no such descriptor, or none any more
        return 0
    return int.from_bytes(answer, sys.byteorder)


def has_arrived(transport: Transport) -> bool:
    """Return whether the kernel has bytes for *transport* that were not read yet, or their end."""
    descriptor = _descriptor(transport)
    if descriptor < 0:
        return False
    # It takes no descriptor of its own, unlike epoll: there may be none left.
    with selectors.PollSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(0))


def _taken(transport: Any) -> object:
    """Return a mark that changes whenever the peer takes something. Otherwise it soon stays the same."""
    if _acknowledges(transport):
        sock = transport.get_extra_info("socket")
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED.stop)
        except OSError:  # it is closed
            info = b""
        if acknowledged := int.from_bytes(info[_ACKNOWLEDGED], sys.byteorder):
            return acknowledged
    handed_over = getattr(transport, "written", 0) - transport.get_write_buffer_size()
    return handed_over, queued(transport)


def _acknowledges(transport: Transport) -> bool:
    """Return whether the kernel counts what the peer takes."""
    sock = transport.get_extra_info("socket")
    return sys.platform == "linux" and sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}


def _is_tls(transport: Transport) -> bool:
    return transport.get_extra_info("ssl_object") is not None


def _descriptor(transport: Transport) -> int:
    sock = transport.get_extra_info("socket")
    return -1 if sock is None else int(sock.fileno())
