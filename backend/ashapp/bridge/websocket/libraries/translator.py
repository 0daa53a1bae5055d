# SPDX-License-Identifier: MIT
"""Translates between the bytes of a WebSocket (RFC 6455) and the messages of ASGI. No I/O.

Theory of operation. A library such as simple-websocket takes the connection of its request and serves the
WebSocket itself: it writes the 101, and then frames. ``Translator`` plays the client of that server. The
bytes that the application writes go in, and come out as messages of ASGI: ``websocket.accept``, ``.send``
with its ``data`` as text or bytes, and ``.close``; or as a whole response. Messages of the client are encoded
as masked frames. The framing is that of the ``websockets`` package.

When the client closes, the application reads a close frame with the same code and reason. When the connection
breaks, the application reads the end of the stream.
"""

import re
from contextlib import suppress

from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from ashapp.bridge.messages.types import Message

__all__ = ["MAX_MESSAGE", "Translator"]

#: The longest message of the application, in bytes: it is put together before it is sent.
MAX_MESSAGE = 64 << 20

# The longest head of the application's answer to the handshake, in bytes.
_MAX_HEAD = 65536
_STATUS_LINE = re.compile(r"HTTP/1\.1 ([1-5][0-9][0-9])(?: |$)")
# The server writes these itself (RFC 6455, 4.2.2); the subprotocol has its own place in the message.
_OF_THE_HANDSHAKE = {"connection", "upgrade", "sec-websocket-accept", "sec-websocket-protocol"}

_OF_DATA = {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}


class Translator:
    """Plays the client for the WebSocket server of an application.

    *max_message* is the longest message of the application in bytes, all fragments together.
    """

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        #: Whether the application has accepted, and whether one side has closed.
        self.accepted = self.closed = False
        self._protocol = Protocol(Side.CLIENT, max_size=max_message)
        self._head = b""
        self._parts: list[bytes] = []
        self._is_text = False

    def feed(self, data: bytes) -> list[Message]:
        """Take *data* that the application has written, and return the messages that are complete now."""
        if self.closed:
            return []
        if self.accepted:
            return self._read_frames(data)
        self._head += data
        head, blank, rest = self._head.partition(b"\r\n\r\n")
        if not blank and len(self._head) <= _MAX_HEAD:
            return []
        self._head = b""
        messages = self._read_head(head)
        return messages + self._read_frames(rest) if rest and self.accepted else messages

    def encode(self, message: str | bytes) -> bytes:
        """Return the bytes that the application reads for *message* of the client."""
        if self.closed:
            return b""
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        return self.take_replies()

    def disconnect(self, code: int, reason: str = "") -> bytes:
        """Return the close frame that the application reads when the client has closed.

        It has the *code* and the *reason* of the client's. For 1006, a broken connection, it is empty.
        """
        if self.closed:
            return b""
        self.closed = True
        if code != CloseCode.ABNORMAL_CLOSURE:
            with suppress(ProtocolError):  # a code that is in no frame, or a reason that is too long
                self._protocol.send_close(None if code == CloseCode.NO_STATUS_RCVD else code, reason)
        return self.take_replies()

    def take_replies(self) -> bytes:
        """Return the bytes that answer what the application wrote: pongs, and a close frame."""
        return b"".join(self._protocol.data_to_send())

    def _read_head(self, head: bytes) -> list[Message]:
        status_line, *lines = head.decode("latin-1").split("\r\n")
        match = _STATUS_LINE.match(status_line)
        status = int(match[1]) if match else 500
        if status != 101:  # as from a library that refuses the handshake by itself
            self.closed = True
            return [
                {"type": "http.response.start", "status": status, "headers": []},
                {"type": "http.response.body", "body": b"", "more_body": False},
            ]
        self.accepted = True
        pairs = [line.partition(":") for line in lines]
        fields = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
        subprotocol = dict(fields).get("sec-websocket-protocol")
        headers = [field for field in fields if field[0] not in _OF_THE_HANDSHAKE]
        return [{"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers}]

    def _read_frames(self, data: bytes) -> list[Message]:
        protocol = self._protocol
        protocol.receive_data(data)
        messages: list[Message] = []
        for frame in protocol.events_received():
            if isinstance(frame, Frame) and frame.opcode in _OF_DATA:
                messages += self._add(frame)
        if protocol.close_rcvd is not None:
            messages.append(self._close(protocol.close_rcvd.code, protocol.close_rcvd.reason))
        elif protocol.state is not State.OPEN:  # what the application wrote is wrong, and it is told
            messages.append(self._close(CloseCode.INTERNAL_ERROR, ""))
        return messages

    def _add(self, frame: Frame) -> list[Message]:
        """Add a part of a message, and return the message if it is complete."""
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return []
        data = b"".join(self._parts)
        self._parts = []
        if not self._is_text:
            return [{"type": "websocket.send", "data": data}]
        try:
            return [{"type": "websocket.send", "data": data.decode()}]
        except UnicodeDecodeError:
            self._protocol.fail(CloseCode.INVALID_DATA)
            return []

    def _close(self, code: int, reason: str) -> Message:
        self.closed = True
        if code == CloseCode.NO_STATUS_RCVD:
            code = CloseCode.NORMAL_CLOSURE
        return {"type": "websocket.close", "code": int(code), "reason": reason}
