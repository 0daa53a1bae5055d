# SPDX-License-Identifier: MIT
"""A small HTTP/1.1 client over a raw socket: for odd bytes, and for slow, cut off and vanishing clients."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

__all__ = [
    "HANDSHAKE",
    "Address",
    "Connection",
    "Head",
    "Response",
    "TruncatedResponse",
    "chunk",
    "fetch",
    "fetch_all",
    "hammer",
    "handshake",
]

Address = tuple[str, int]
Fields = Iterable[tuple[str, str]]

#: What asks for a WebSocket, beside the host.
HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
)


def handshake(path: str = "/") -> bytes:
    """Return a request for a WebSocket."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in HANDSHAKE)
    return f"GET {path} HTTP/1.1\r\nHost: shop\r\n{fields}\r\n".encode()


class TruncatedResponse(Exception):  # noqa: N818 - what the client sees, not a fault of the client
    """The connection ended before the response did; ``partial`` is the body so far."""

    def __init__(self, partial: bytes) -> None:
        super().__init__(f"the response was cut off after {len(partial)} bytes of its body")
        self.partial = partial


@dataclass(frozen=True)
class Head:
    """Status line and header fields, names in lower case, values as latin-1 text."""

    status: int
    fields: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """Return the values of the fields called *name* (in lower case)."""
        return [value for key, value in self.fields if key == name]

    def one(self, name: str) -> str | None:
        """Return the value of the field called *name*, None where there is none."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} is repeated: {values}"
        return values[0] if values else None


@dataclass(frozen=True)
class Response:
    """A complete response."""

    head: Head
    body: bytes

    @property
    def status(self) -> int:
        return self.head.status


class Connection:
    """One connection, kept alive; every wait on it ends with TimeoutError after *timeout* seconds."""

    def __init__(self, address: Address, timeout: float = 10, receive_buffer: int | None = None) -> None:
        self._socket = socket.socket()
        try:
            if receive_buffer is not None:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self._socket.settimeout(timeout)
            self._socket.connect(address)
        except BaseException:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The client's own port."""
        port: int = self._socket.getsockname()[1]
        return port

    def send(self, data: bytes) -> None:
        """Send *data* as it is."""
        self._socket.sendall(data)

    def send_until_held(self, size: int, patience: float = 0.3) -> int:
        """Send up to *size* bytes, until none is taken for *patience* seconds; return how many were."""
        timeout = self._socket.gettimeout()
        block = bytes(65536)
        sent = 0
        self._socket.settimeout(patience)
        try:
            while sent < size:
                sent += self._socket.send(block[: size - sent])
        except TimeoutError:
            pass
        finally:
            self._socket.settimeout(timeout)
        return sent

    def send_request(self, method: str, target: str, fields: Fields = (), body: bytes | None = None) -> None:
        """Send a request with a Host field, and Content-Length where there is a *body*; text as latin-1."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in fields]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))

    def request(self, method: str, target: str, fields: Fields = (), body: bytes | None = None) -> Response:
        """Send a request and return its response."""
        self.send_request(method, target, fields, body)
        return self.receive(method)

    def receive(self, method: str = "GET") -> Response:
        """Return the response to a request of *method*, with its whole body.

        Raises:
            TruncatedResponse: the connection ended before the body did.
            ConnectionError: it ended before the head did.

        """
        head = self.receive_head()
        if method == "HEAD" or head.status < 200 or head.status in {204, 304}:
            return Response(head, b"")
        if head.one("transfer-encoding") == "chunked":
            return Response(head, b"".join(self.receive_chunks()))
        length = head.one("content-length")
        body = self._file.read() if length is None else self._file.read(int(length))
        if length is not None and len(body) < int(length):
            raise TruncatedResponse(body)
        return Response(head, body)

    def receive_head(self) -> Head:
        """Return the status and the header fields of the next response, interim ones included."""
        status_line = self._file.readline()
        if not status_line:
            raise ConnectionError("the server closed the connection without an answer")
        protocol, _, rest = status_line.partition(b" ")
        assert protocol == b"HTTP/1.1", f"not a status line: {status_line[:80]!r}"
        fields = []
        while (line := self._file.readline()) != b"\r\n":
            if not line.endswith(b"\r\n"):
                raise ConnectionError("the server closed the connection in the middle of a head")
            name, _, value = line.decode("latin-1").rstrip("\r\n").partition(":")
            fields.append((name.lower(), value.strip(" \t")))
        return Head(int(rest[:3]), tuple(fields))

    def receive_chunks(self) -> Iterator[bytes]:
        """Yield the chunks of a chunked body, each as it arrives."""
        so_far = bytearray()
        while True:
            size = self._file.readline()
            if not size.endswith(b"\r\n"):
                raise TruncatedResponse(bytes(so_far))
            chunk = self._file.read(int(size, 16))
            end = self._file.read(2)
            so_far += chunk
            if end != b"\r\n":
                raise TruncatedResponse(bytes(so_far))
            if not chunk:
                return
            yield chunk

    def receive_bytes(self, size: int) -> bytes:
        """Return the next *size* bytes, fewer where the connection ends."""
        return self._file.read(size)

    def is_closed(self) -> bool:
        """Wait for the server to close the connection or to send something; say whether it closed."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def wait_for_close(self, seconds: float) -> None:
        """Wait for the server to close the connection; raise TimeoutError if it does not."""
        self._socket.settimeout(seconds)
        while self._socket.recv(65536):
            pass

    def close(self) -> None:
        """Close the connection in the usual way."""
        self._file.close()
        self._socket.close()

    def vanish(self) -> None:
        """Reset the connection: what is on its way is lost (a client that crashed)."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def chunk(data: bytes = b"") -> bytes:
    """Return *data* as one chunk of a chunked body; without *data*, the last chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def fetch(
    address: Address, target: str, method: str = "GET", fields: Fields = (), body: bytes | None = None
) -> Response:
    """Send one request on a connection of its own and return the response."""
    with Connection(address) as connection:
        return connection.request(method, target, fields, body)


def fetch_all(address: Address, targets: Iterable[str], at_once: int = 20) -> list[Response]:
    """Fetch *targets*, up to *at_once* of them at a time, each on a connection of its own."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda target: fetch(address, target), targets))


async def hammer(address: Address, connections: int, requests: int, request: bytes) -> Counter[int]:
    """Send *request* back to back, *requests* times on each of *connections*; count the statuses.

    The next request leaves at the moment at which the last byte of the response is there. Only for
    responses with Content-Length.
    """
    statuses: Counter[int] = Counter()

    async def run() -> None:
        reader, writer = await asyncio.open_connection(*address)
        try:
            for _ in range(requests):
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                statuses[int(head[9:12])] += 1
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                if b"connection: close" in head.lower():
                    return
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    await asyncio.gather(*(run() for _ in range(connections)))
    return statuses
