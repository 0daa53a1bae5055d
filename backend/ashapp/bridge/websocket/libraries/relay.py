# SPDX-License-Identifier: MIT
"""The socket that a library takes from the environ, and the relay between it and the WebSocket.

Theory of operation. The application gets one end of a socket pair, which blocks as the socket of a connection
does. The other end is on the loop, with two tasks. One reads what the application writes, and passes it on as
the ``Translator`` decodes it. The other receives messages and writes their frames. Each task reads more only
when the receiving side has taken what was read. So a slow side holds back the other one, by the buffers of
the kernel.

What the application returns after its WebSocket differs from library to library, and is dropped. But if it
has opened no WebSocket, it returns the response that denies the handshake. The relay knows which of the two
it is when it has read all that the application wrote before.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from ashapp.bridge.admission.in_flight import busy
from ashapp.bridge.concurrency.futures import resolve
from ashapp.bridge.messages.errors import RequestRejected
from ashapp.bridge.messages.types import Environ, Message, StartResponse, WsgiApplication
from ashapp.bridge.websocket.connection import Connection
from ashapp.bridge.websocket.libraries.application_socket import ApplicationSocket
from ashapp.bridge.websocket.libraries.translator import Translator
from ashapp.bridge.websocket.state import WebSocketClosed

__all__ = ["SOCKET", "Relay", "tolerating_any_end"]

_log = logging.getLogger("ashapp.bridge")

#: The key of the environ that libraries look for first. With the keys of other servers they raise
#: ``StopIteration``.
SOCKET = "werkzeug.socket"

_READ_SIZE = 65536
# After this many reads without a wait, other tasks have their turn.
_READS_IN_A_ROW = 16


class Relay:
    """Relays between a socket in *environ* and *connection*. To be used on the loop of *connection*.

    Raises:
        RequestRejected: a header that libraries read is malformed, 400; or no socket is left, 503.
    """

    def __init__(self, environ: Environ, connection: Connection) -> None:
        _check_host(environ.get("HTTP_HOST", ""))
        self._connection = connection
        self._loop = connection.loop
        self._environ = environ
        try:
            self._socket, application_end = socket.socketpair()
        except OSError as error:
            raise busy(f"there is no socket for a WebSocket: {error.strerror}") from error
        self._socket.setblocking(False)  # noqa: FBT003 - positional only
        self._other = ApplicationSocket(application_end.detach(), environ["asgi.scope"].get("client"))
        environ[SOCKET] = self._other
        self._translator = Translator()
        self._has_returned = False
        # Whether the client has gone, and the application can read that.
        self._is_left = False
        # Ends the wait for more from the application.
        self._readable: asyncio.Future[None] | None = None
        # Pongs, and the answer to a close frame. They wait until the frame that is being written is complete.
        self._replies = b""
        self._is_writing = False
        self._inward: asyncio.Task[None] | None = None
        self._outward: asyncio.Task[None] | None = self._loop.create_task(self._pass_out())
        self._outward.add_done_callback(self._close)  # it may be cancelled before it begins

    async def answer(self, message: Message) -> None:
        """Take *message*, a part of the response of the application. The application has returned.

        The response denies the handshake, unless that has been answered.
        """
        if not self._has_returned:
            await self.finish()
            if message["status"] >= 500:
                self._connection.final_code = 1011
        if not self._translator.closed:
            await self._connection.answer(message)

    async def finish(self) -> None:
        """Pass on all that the application has written. The application has returned or failed."""
        self._has_returned = True
        if self._readable is not None:
            resolve(self._readable)
        if self._outward is not None:
            await asyncio.wait([self._outward])

    def stop(self) -> None:
        """Pass on no more: the application reads the end of the stream."""
        self._environ.pop(SOCKET, None)
        if self._outward is not None:
            self._outward.cancel()
        self._connection.stop()

    # -- from the application to the client

    async def _pass_out(self) -> None:
        try:
            turn = 0
            while data := await self._read():
                if self._is_left:
                    # It may still answer a close frame. All that it writes later fails, as on a connection.
                    self._end(socket.SHUT_RDWR)
                messages = self._translator.feed(data)
                if self._translator.closed and self._inward is not None:
                    self._inward.cancel()
                self._reply()
                for message in messages:
                    await self._hand_over(message)
                turn = (turn + 1) % _READS_IN_A_ROW
                if turn == 0:
                    await asyncio.sleep(0)
            if self._translator.accepted and not self._has_returned:
                # The library broke off. A WebSocket that is closed already ignores this.
                await self._connection.close(1011)
        except Exception:
            _log.exception("what %s wrote can't be passed on", self._environ["PATH_INFO"])
            self._connection.final_code = 1011
        finally:
            if self._inward is not None:
                self._inward.cancel()
                await asyncio.wait([self._inward])

    def _close(self, _outward: asyncio.Task[None]) -> None:
        self._socket.close()
        self._other.waiters.wake()
        # The traceback of a cancelled task refers to this object, and would keep the socket open until it is
        # collected.
        self._inward = self._outward = None

    async def _read(self) -> bytes:
        """Return what the application has written; nothing at the end of the stream."""
        while True:
            try:
                data = self._socket.recv(_READ_SIZE)
            except BlockingIOError:
                if self._has_returned:
                    return b""
            except OSError:  # it has closed its end, and has not read all
                return b""
            else:
                self._other.waiters.wake()
                return data
            self._readable = self._loop.create_future()
            descriptor = self._socket.fileno()
            self._loop.add_reader(descriptor, resolve, self._readable)
            try:
                await self._readable
            finally:
                self._loop.remove_reader(descriptor)

    async def _hand_over(self, message: Message) -> None:
        kind = message["type"]
        with suppress(WebSocketClosed):  # it is told by the other task
            if kind == "websocket.send":
                await self._connection.send(message["data"])
            elif kind == "websocket.accept":
                with suppress(WebSocketClosed):
                    await self._connection.accept(message["subprotocol"], message["headers"])
                self._inward = self._loop.create_task(self._pass_in())
            elif kind == "websocket.close":
                self._end(socket.SHUT_WR)
                await self._connection.close(message["code"], message["reason"])
            else:
                await self._connection.answer(message)

    def _reply(self) -> None:
        self._replies += self._translator.take_replies()
        if self._replies and not self._is_writing:
            with suppress(OSError):  # it does not read
                self._replies = self._replies[self._socket.send(self._replies) :]
                self._other.waiters.wake()

    # -- from the client to the application

    async def _pass_in(self) -> None:
        with suppress(OSError):  # it reads no more
            try:
                while True:
                    await self._write(self._translator.encode(await self._connection.receive()))
            except WebSocketClosed as end:
                await self._write(self._translator.disconnect(end.code, end.reason))
                self._is_left = True
                self._end(socket.SHUT_WR)

    async def _write(self, data: bytes) -> None:
        self._is_writing = True
        while data:
            left = memoryview(data)
            while left:
                left = left[await self._write_some(left) :]
            data, self._replies = self._replies, b""
        self._is_writing = False

    async def _write_some(self, data: memoryview) -> int:
        """Write as much of *data* as there is room for, and return its size, 0 after a wait for room."""
        try:
            size = self._socket.send(data)
        except BlockingIOError:
            has_room = self._loop.create_future()
            descriptor = self._socket.fileno()
            self._loop.add_writer(descriptor, resolve, has_room)
            try:
                await has_room
            finally:
                self._loop.remove_writer(descriptor)
            return 0
        self._other.waiters.wake()
        return size

    def _end(self, how: int) -> None:
        with suppress(OSError):  # it has closed its end
            self._socket.shutdown(how)
            self._other.waiters.wake()


def tolerating_any_end(application: WsgiApplication) -> WsgiApplication:
    """Return *application* so that it always gives a response, also after a WebSocket.

    After a WebSocket, libraries return without a call of ``start_response``. Or they raise ``StopIteration``
    or ``ConnectionError``, to end a thread of their server.
    """

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        has_started = False

        def start(*args: Any) -> Callable[[bytes], object]:
            nonlocal has_started
            has_started = True
            return start_response(*args)

        iterable: Iterable[bytes] = ()
        with suppress(StopIteration, ConnectionError):
            iterable = application(environ, start)
        if not (has_started or iterable):
            start_response("500 Internal Server Error", [("Content-Length", "0")])
        return iterable

    return call


def _check_host(host: str) -> None:
    """Refuse the request with 400 if *host* is no host: wsproto would fail with an error of its own."""
    try:
        host.encode("latin-1").decode("idna")
    except UnicodeError as error:
        raise RequestRejected(400, f"Host is {host[:80]!r}, which is not a name: {error}.") from error
