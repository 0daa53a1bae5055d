# SPDX-License-Identifier: MIT
"""The sockets that the service listens on: bind them, or say in one line why that can't be done."""

import contextlib
import errno
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from ashapp.server.errors import StartupError
from ashapp.server.settings.model import Settings
from ashapp.server.settings.sources.addresses import Address, InheritedAddress, TcpAddress, UnixAddress

__all__ = ["SocketFile", "bound", "listen", "socket_files", "tcp", "unix", "url"]

# Keep-alive of TCP (tcp(7)) finds a client that has vanished after two minutes.
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 15),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 4),
)

_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class SocketFile(NamedTuple):
    """The identity of the file of a UNIX domain socket.

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

    Those that are inherited come first.

    Raises:
        StartupError: one can't be bound.
    """
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        flags = ("--host", "--port") if settings.bind is None else ("--bind", "--bind")
        for address in sorted(settings.addresses, key=lambda each: not isinstance(each, InheritedAddress)):
            made = _sockets(address, flags)
            for sock in made:
                stack.enter_context(sock)
            for file in socket_files([address]):
                stack.callback(file.remove)
            sockets += made
        yield sockets


def socket_files(addresses: Iterable[Address]) -> list[SocketFile]:
    """Return the files of those UNIX domain sockets among *addresses* that exist."""
    files = [SocketFile.of(each.path) for each in addresses if isinstance(each, UnixAddress)]
    return [file for file in files if file is not None]


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
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def tcp(host: str, port: int, flags: tuple[str, str] = ("--host", "--port")) -> list[socket.socket]:
    """Bind a socket at each address of *host*, of all interfaces if it is empty.

    Port 0 is the same free port at each of them. *flags* choose another host, and another port.

    Raises:
        StartupError: an address can't be bound.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StartupError(
            f"host {host!r} can't be resolved: {reason}; choose another with {flags[0]}"
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
        raise StartupError(_refusal(host or "all interfaces", port, flags, (fatal or failures)[0]))
    return sockets


def _sockets(address: Address, flags: tuple[str, str]) -> list[socket.socket]:
    match address:
        case TcpAddress(host, port):
            return tcp(host, port, flags)
        case UnixAddress():
            return [unix(address)]
        case InheritedAddress(fd):
            return [_inherited(fd)]


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


def unix(address: UnixAddress) -> socket.socket:
    """Bind a UNIX domain socket. One that a service has left behind is replaced.

    Raises:
        StartupError: it can't be made, or another process listens there, or the file is no socket.
    """
    path = Path(address.path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.ExitStack() as undo:
        undo.callback(sock.close)
        try:
            _remove_stale(path)
            sock.bind(str(path))
            undo.callback(path.unlink, missing_ok=True)
            # Nobody can connect before it listens.
            if address.user or address.group:
                owner: dict[str, Any] = {
                    "user": _name_or_number(address.user),
                    "group": _name_or_number(address.group),
                }
                shutil.chown(path, **owner)
            path.chmod(address.mode)
        except (OSError, LookupError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StartupError(f"the socket {str(path)!r} can't be made: {reason}") from None
        undo.pop_all()
    return sock


def _name_or_number(text: str) -> str | int | None:
    return int(text) if text.isdecimal() else text or None


def _remove_stale(path: Path) -> None:
    """Remove the socket of a service that is gone. A socket in use, or a file that is no socket, stays."""
    file = SocketFile.of(path)
    if file is None:
        return
    if path.is_symlink() or not path.is_socket():
        raise FileExistsError(errno.EEXIST, "there is a file of this name, which is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)  # a full queue does not accept, but somebody listens
        if probe.connect_ex(str(path)) in {0, errno.EAGAIN}:
            raise OSError(errno.EADDRINUSE, "another process is listening there")
    file.remove()


def _tcp_socket(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    # asyncio sets TCP_NODELAY on accepted connections only if the protocol number says TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
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


def _refusal(host: str, port: int, flags: tuple[str, str], error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use by another process; choose another with {flags[1]}"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"port {port} on {host} is not allowed for this user; choose one above 1023 with {flags[1]}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host {host!r} is not an address of this machine; choose another with {flags[0]}"
    return f"can't listen on port {port} of {host}: {error.strerror}"
