# SPDX-License-Identifier: MIT
"""Bind the sockets that the service listens on, or say in one line why they can't be had."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ashapp.server.errors import StartupError
from ashapp.server.settings import Settings
from ashapp.server.system.socket_name import SocketName

__all__ = ["bound", "is_listening", "listen", "tcp", "url"]

# Anyone on the machine may connect, a proxy under another user above all; as uvicorn has it.
_UNIX_MODE = 0o666

# A client that has vanished without a word, while the application has none for it either, is found out after
# two minutes (tcp(7)): the system sends a probe after 60 s, then every 15.
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 15),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 4),
)

_UNUSABLE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


@contextmanager
def bound(settings: Settings) -> Iterator[list[socket.socket]]:
    """Bind sockets as the settings say and close them in the end; they do not listen yet.

    A host name is bound at each of its addresses. Raises `StartupError` when one can't be had.
    """
    with contextlib.ExitStack() as stack:
        if settings.fd is not None:
            yield [stack.enter_context(_inherited(settings.fd))]
        elif settings.uds is not None:
            path = Path(settings.uds)
            sockets = [stack.enter_context(_unix(path))]
            name = SocketName.of(path)
            if name is not None:
                stack.callback(name.remove)
            yield sockets
        else:
            yield [stack.enter_context(sock) for sock in tcp(settings.host, settings.port)]


def listen(sockets: list[socket.socket], backlog: int) -> None:
    """Make connections wait until a worker accepts them.

    Raises `StartupError` when another process has begun to listen there since the sockets were bound.
    """
    for sock in sockets:
        try:
            sock.listen(backlog)
        except OSError as error:
            raise StartupError(f"can't listen on {url(sock)}: {error.strerror}") from None


def is_listening(sock: socket.socket) -> bool:
    """Return whether connections are queued there; as far as the system tells."""
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except (OSError, AttributeError) as error:  # its descriptor has been closed; or there is no such option
        return not (isinstance(error, OSError) and error.errno == errno.EBADF)


def url(sock: socket.socket, *, tls: bool = False) -> str:
    """Return the address of a socket as a person would type it."""
    scheme = "https" if tls else "http"
    if sock.family == getattr(socket, "AF_UNIX", None):
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def tcp(host: str, port: int, option: str = "--") -> list[socket.socket]:
    """Bind a socket at each address of *host*; port 0 stands for the same free port at each of them.

    Other ones are chosen by options that begin with *option*. Raises `StartupError` when one can't be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StartupError(
            f"host {host!r} can't be resolved: {reason}; choose another with {option}host"
        ) from None
    sockets: list[socket.socket] = []
    failures: list[OSError] = []
    for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
        chosen = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_tcp_socket(family, (address[0], chosen, *address[2:])))
        except OSError as error:
            failures.append(error)
    fatal = [error for error in failures if error.errno not in _UNUSABLE]
    if fatal or not sockets:
        for sock in sockets:
            sock.close()
        raise StartupError(_refusal(host, port, option, (fatal or failures)[0]))
    return sockets


def _inherited(fd: int) -> socket.socket:
    try:
        # The family and the type are read from the descriptor itself.
        sock = socket.socket(fileno=os.dup(fd))
    except OSError as error:
        raise StartupError(f"fd = {fd} is not an open socket: {error.strerror}") from None
    if sock.type != socket.SOCK_STREAM:
        sock.close()
        raise StartupError(f"fd = {fd} is not a stream socket")
    return sock


def _unix(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(str(path))
        path.chmod(_UNIX_MODE)
    except OSError as error:
        sock.close()
        raise StartupError(f"uds = {str(path)!r} can't be made: {error.strerror or error}") from None
    return sock


def _remove_stale(path: Path) -> None:
    """Remove the socket of a service that is gone; leave alone what is in use or no socket."""
    found = SocketName.of(path)
    if found is None:
        return
    if path.is_symlink() or not path.is_socket():
        raise FileExistsError(errno.EEXIST, "there is a file of this name")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # Whoever listens there need not accept: a connection may have to wait.
        probe.settimeout(0)
        if probe.connect_ex(str(path)) in {0, errno.EAGAIN}:
            raise OSError(errno.EADDRINUSE, "another process is listening there")
    found.remove()


def _tcp_socket(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    # By its protocol asyncio knows that it is TCP, and sets TCP_NODELAY on what it accepts.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for level, name, value in _KEEP_ALIVE:  # which accepted ones inherit
            if hasattr(socket, name):
                sock.setsockopt(level, getattr(socket, name), value)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _refusal(host: str, port: int, option: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use by another process; choose another with {option}port"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"port {port} on {host} is not allowed for this user; choose one above 1023 with {option}port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host {host!r} is not an address of this machine; choose another with {option}host"
    return f"can't listen on port {port} of {host}: {error.strerror}"
