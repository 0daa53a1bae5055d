# SPDX-License-Identifier: MIT
"""Close a listening socket without losing the connections that wait to be accepted.

Theory of operation. The kernel completes the handshakes of TCP and queues the connections. A client may send
its request before its connection is accepted. When the last descriptor of the socket is closed, all queued
connections are reset. To empty the queue first is not enough, as another one may come after that. So first
new handshakes are kept out: on Linux a socket filter drops each SYN (socket(7), SO_ATTACH_FILTER; RFC 9293,
3.5). The client repeats it after a second and is refused, before it has sent a request. Handshakes that have
begun get a moment to complete. For a UNIX domain socket its file is removed instead: that refuses new
connections, too.
"""

import asyncio
import ctypes
import logging
import socket
import struct
import sys
from collections.abc import Iterable

from ashapp.server.operating_system.sockets import SocketFile

__all__ = ["accept_last", "accept_queued", "refuse_new"]

_log = logging.getLogger("ashapp.server")

# Seconds for handshakes that have begun: a round trip.
_SETTLING = 0.1

# asm-generic/socket.h; and for BPF (linux/filter.h): code, jump if true, jump if false, operand.
_SO_ATTACH_FILTER = 26
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of TCP's flags
    (0x54, 0, 0, 0x12),  # of these SYN and ACK
    (0x15, 0, 1, 0x02),  # if only SYN is set
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # else let it pass
)


async def accept_last(sockets: Iterable[socket.socket], files: Iterable[SocketFile]) -> list[socket.socket]:
    """Keep new connections out of the queues, and accept those that are there; see the functions below."""
    try:
        refuse_new(sockets, files)
    except OSError as error:  # an error here must not cost the requests in flight
        _log.warning(
            "New connections can't be refused before the sockets are closed, so some may be reset: %s", error
        )
    await asyncio.sleep(_SETTLING)
    return accept_queued(sockets)


def refuse_new(sockets: Iterable[socket.socket], files: Iterable[SocketFile] = ()) -> None:
    """Keep new connections out of the queues, for all processes that listen; as far as possible.

    *files* are the files of UNIX domain sockets among them.
    """
    for sock in sockets:
        if sock.family != socket.AF_UNIX and sys.platform == "linux":
            _attach(sock)
    for file in files:
        file.remove()


def accept_queued(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """Accept what is queued, without waiting for more."""
    accepted = []
    for sock in sockets:
        sock.settimeout(0)
        while True:
            try:
                connection, _ = sock.accept()
            except ConnectionAbortedError:  # by its client, in the queue (accept(2))
                continue
            except OSError:  # nothing more, or no descriptor is left
                break
            connection.settimeout(0)
            accepted.append(connection)
    return accepted


def _attach(sock: socket.socket) -> None:
    program = b"".join(struct.pack("=HBBI", *instruction) for instruction in _DROP_SYN)
    buffer = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("@HP", len(_DROP_SYN), ctypes.addressof(buffer))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)
    except OSError:  # a sandbox without it: what remains is a window of some microseconds
        return
