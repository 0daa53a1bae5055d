# SPDX-License-Identifier: MIT
"""The sockets that the service listens on: bind them, or say in one line why that can't be done."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ashapp.server.errors import StartupError
from ashapp.server.settings import Settings
from ashapp.server.system.systemd import passed_descriptors

__all__ = ["SocketFile", "bound", "listen", "tcp", "url"]

# Any user may connect, as a proxy under another one does. uvicorn has the same.
_UNIX_MODE = 0o666

# Keep-alive of TCP (tcp(7)) finds a client that has vanished after two minutes.
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 15),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 4),
)

_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


@dataclass(frozen=True)
class SocketFile:
    """The file of a UNIX domain socket, as it was when it was looked at.

    The next file of that name may get the same inode, so the time of the last modification counts too.
    """

    path: Path
    device: int
    inode: int
    modified: int

    @classmethod
    def of(cls, path: Path | str) -> Self | None:
        """Return the file at *path*, or None."""
        found = Path(path).absolute()
        try:
            status = found.lstat()
        except FileNotFoundError:
            return None
        return cls(found, status.st_dev, status.st_ino, status.st_mtime_ns)

    def remove(self) -> None:
        """Remove the file, unless it is gone or another service has replaced it."""
        if SocketFile.of(self.path) == self:
            self.path.unlink(missing_ok=True)


@contextmanager
def bound(settings: Settings) -> Iterator[list[socket.socket]]:
    """Bind sockets as the settings say, and close them in the end. They do not listen yet.

    Raises:
        StartupError: one can't be bound.

    """
    with contextlib.ExitStack() as stack:
        if settings.fd is not None:
            sockets = [_inherited(fd) for fd in passed_descriptors() or [settings.fd]]
        elif settings.uds is not None:
            sockets = [_unix(Path(settings.uds))]
            if (file := SocketFile.of(settings.uds)) is not None:
                stack.callback(file.remove)
        else:
            sockets = tcp(settings.host, settings.port)
        for sock in sockets:
            stack.enter_context(sock)
        yield sockets


def listen(sockets: list[socket.socket], backlog: int) -> None:
    """Let connections wait until a worker accepts them.

    Raises:
        StartupError: another process has begun to listen there since the sockets were bound.

    """
    for sock in sockets:
        try:
            sock.listen(backlog)
        except OSError as error:
            raise StartupError(f"can't listen on {url(sock)}: {error.strerror}") from None


def url(sock: socket.socket, *, tls: bool = False) -> str:
    """Return the address of a socket as a person would type it."""
    if sock.family == getattr(socket, "AF_UNIX", None):
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def tcp(host: str, port: int, option: str = "--") -> list[socket.socket]:
    """Bind a socket at each address of *host*. Port 0 is the same free port at each of them.

    The options that choose another address begin with *option*.

    Raises:
        StartupError: an address can't be bound.

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
    fatal = [error for error in failures if error.errno not in _NOT_HERE]
    if fatal or not sockets:
        for sock in sockets:
            sock.close()
        raise StartupError(_refusal(host, port, option, (fatal or failures)[0]))
    return sockets


def _inherited(fd: int) -> socket.socket:
    try:
        # The family and the type are read from the descriptor.
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
    """Remove the socket of a service that is gone. What is in use, or is no socket, stays."""
    file = SocketFile.of(path)
    if file is None:
        return
    if path.is_symlink() or not path.is_socket():
        raise FileExistsError(errno.EEXIST, "there is a file of this name")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)  # a full queue does not accept, but somebody listens
        if probe.connect_ex(str(path)) in {0, errno.EAGAIN}:
            raise OSError(errno.EADDRINUSE, "another process is listening there")
    file.remove()


def _tcp_socket(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    # asyncio sets TCP_NODELAY on accepted connections only if the protocol number says TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for level, name, value in _KEEP_ALIVE:  # accepted connections inherit these
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
