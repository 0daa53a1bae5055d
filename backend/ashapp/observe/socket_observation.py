# SPDX-License-Identifier: MIT
"""The observation of one WebSocket, from its handshake to its end."""

from collections.abc import Awaitable, Callable

from ashapp.observe.observation import Message, Observation, Scope

__all__ = ["SWITCHED", "SocketObservation", "messages"]

#: The status of a WebSocket that was accepted (RFC 6455, 4.2.2).
SWITCHED = 101

#: How many messages this process has received and sent so far, by direction.
messages = {"received": 0, "sent": 0}

_DENIED = 403


class SocketObservation(Observation):
    """One WebSocket with this connection *scope*; see `Observation`. *receive* is the server's.

    Its status is 101, or that with which the handshake was denied. It ends when the application has done with
    it. ``sent`` counts the bytes of its messages, texts as UTF-8.
    """

    #: Messages each way, and the bytes that the client has sent.
    received_messages = 0
    sent_messages = 0
    received = 0
    #: The close code (RFC 6455, 7.4); None while it is open, and if it was denied.
    close_code: int | None = None

    def __init__(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
        finish: Callable[[Observation], None],
    ) -> None:
        super().__init__(scope, send, finish)
        self._receive = receive
        self.details: dict[str, int | None] = {}

    async def receive(self) -> Message:
        """Receive a message of the client, or learn that it has gone, and take note of it."""
        message = await self._receive()
        kind = message["type"]
        if kind == "websocket.receive":
            self.note_received(_size(message))
        elif kind == "websocket.disconnect":
            self.note_end(message)
        return message

    def note_received(self, size: int) -> None:
        """Count a message of the client with *size* bytes."""
        messages["received"] += 1
        self.received_messages += 1
        self.received += size

    def note_sent(self, size: int) -> None:
        """Count a message of the application with *size* bytes."""
        messages["sent"] += 1
        self.sent_messages += 1
        self.sent += size

    def note_end(self, message: Message) -> None:
        """Record the end, from the *message* that tells of it."""
        if self.close_code is None:
            self.close_code = message.get("code") or 1005
            self.disconnected = self.close_code == 1006

    def note(self, message: Message) -> Message:
        """Record a *message* of the application, and return the message to send."""
        kind = message["type"]
        if kind == "websocket.send":
            self.note_sent(_size(message))
        elif kind == "websocket.accept":
            message = self._answered(message, SWITCHED)
        elif kind == "websocket.close":
            if self.status is None:
                self.status = _DENIED
            elif self.close_code is None:
                self.close_code = message.get("code", 1000)
        elif kind == "websocket.http.response.start":
            message = self._answered(message, message["status"])
        elif kind == "websocket.http.response.body":
            self.sent += len(message.get("body", b""))
        return message

    def conclude(self) -> None:
        """Note that the application has returned: that ends it."""
        self.end()

    def end(self) -> None:
        """Note that it has ended, and tell the sinks."""
        self.details |= {
            "close_code": self.close_code,
            "sent_messages": self.sent_messages,
            "received_messages": self.received_messages,
            "received_bytes": self.received,
        }
        super().end()


def _size(message: Message) -> int:
    text: str | None = message.get("text")
    if text is None:
        return len(message.get("bytes") or b"")
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
