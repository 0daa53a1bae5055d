# SPDX-License-Identifier: MIT
"""The translator alone: bytes of a server on one side, messages of ASGI on the other."""

import pytest
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side

from ashapp.bridge.messages.types import Message
from ashapp.bridge.websocket.libraries.translator import Translator

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
ACCEPT: Message = {"type": "websocket.accept", "subprotocol": None, "headers": []}


def frame(opcode: Opcode, data: bytes, *, last: bool = True) -> bytes:
    return Frame(opcode, data, last).serialize(mask=False)


def close(code: int, reason: str = "") -> bytes:
    return frame(Opcode.CLOSE, Close(code, reason).serialize())


def text(value: str) -> Message:
    return {"type": "websocket.send", "data": value}


def binary(value: bytes) -> Message:
    return {"type": "websocket.send", "data": value}


def closed(code: int, reason: str = "") -> Message:
    return {"type": "websocket.close", "code": code, "reason": reason}


def opened(max_message: int = 1000) -> Translator:
    translator = Translator(max_message)
    assert translator.feed(HEAD + b"\r\n") == [ACCEPT]
    return translator


def read(data: bytes) -> list[tuple[Opcode, bytes]]:
    """Return the frames in *data*, which a server would read."""
    server = Protocol(Side.SERVER)
    server.receive_data(data)
    assert server.parser_exc is None, "the frames are masked, and in order"
    return [
        (event.opcode, bytes(event.data)) for event in server.events_received() if isinstance(event, Frame)
    ]


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (HEAD, ACCEPT),
        (HEAD + b"Sec-WebSocket-Protocol: chat\r\n", {**ACCEPT, "subprotocol": "chat"}),
        (
            HEAD + b"Sec-WebSocket-Accept: x\r\nSet-Cookie: a=b:c\r\n",
            {**ACCEPT, "headers": [("set-cookie", "a=b:c")]},
        ),
        (b"HTTP/1.1 101\r\n", ACCEPT),
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_a_101_accepts(head: bytes, message: Message, step: int) -> None:
    translator = Translator()
    data = head + b"\r\n" + frame(Opcode.TEXT, b"first")
    found = [
        each for start in range(0, len(data), step) for each in translator.feed(data[start : start + step])
    ]
    assert found == [message, text("first")]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\n\r\nno", 426),
        (b"HTTP/1.1 403 \r\n\r\n", 403),
        (b"nonsense\r\n\r\n", 500),
        (b"x" * 70000, 500),
    ],
)
def test_another_answer_is_a_denial(answer: bytes, status: int) -> None:
    translator = Translator()
    messages = translator.feed(answer)
    assert [message["type"] for message in messages] == [
        "http.response.start",
        "http.response.body",
    ]
    assert (messages[0]["status"], translator.accepted, translator.closed) == (status, False, True)
    assert translator.feed(frame(Opcode.TEXT, b"more")) == []


@pytest.mark.parametrize(
    ("written", "messages"),
    [
        (frame(Opcode.TEXT, "é".encode()), [text("é")]),
        (frame(Opcode.BINARY, b""), [binary(b"")]),
        (frame(Opcode.TEXT, b""), [text("")]),
        (frame(Opcode.TEXT, b"a") + frame(Opcode.BINARY, b"b"), [text("a"), binary(b"b")]),
        # A character may be cut in two.
        (frame(Opcode.TEXT, b"\xc3", last=False) + frame(Opcode.CONT, b"\xa9"), [text("é")]),
        (
            frame(Opcode.BINARY, b"a", last=False)
            + frame(Opcode.PING, b"?")
            + frame(Opcode.CONT, b"b", last=False)
            + frame(Opcode.CONT, b"c"),
            [binary(b"abc")],
        ),
        (frame(Opcode.PING, b"?") + frame(Opcode.PONG, b"!"), []),
        (frame(Opcode.BINARY, b"x" * 1000), [binary(b"x" * 1000)]),
        (close(1000), [closed(1000)]),
        (close(4000, "bye"), [closed(4000, "bye")]),
        (frame(Opcode.CLOSE, b""), [closed(1000)]),
        (
            frame(Opcode.TEXT, b"last") + close(1001) + frame(Opcode.TEXT, b"too late"),
            [text("last"), closed(1001)],
        ),
    ],
)
@pytest.mark.parametrize("step", [1, 2000])
def test_what_the_application_writes(written: bytes, messages: list[Message], step: int) -> None:
    translator = opened()
    steps = range(0, len(written), step)
    assert [each for start in steps for each in translator.feed(written[start : start + step])] == messages


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (frame(Opcode.BINARY, b"x" * 1001), 1009),
        (frame(Opcode.BINARY, b"x" * 600, last=False) + frame(Opcode.CONT, b"x" * 600, last=False), 1009),
        (frame(Opcode.TEXT, b"\xff"), 1007),
        (frame(Opcode.CONT, b"x"), 1002),
        (b"\xc1\x00", 1002),  # compressed, which has not been agreed on
        (b"\x81\x80masked", 1002),
    ],
)
def test_what_the_application_must_not_write_closes_both_sides(written: bytes, code: int) -> None:
    translator = opened()
    assert translator.feed(written) == [closed(1011)]
    [(opcode, payload)] = read(translator.take_replies())
    assert (opcode, int.from_bytes(payload[:2])) == (Opcode.CLOSE, code)
    assert translator.feed(written) == []


@pytest.mark.parametrize(
    ("message", "frames"),
    [
        ("é", [(Opcode.TEXT, "é".encode())]),
        ("", [(Opcode.TEXT, b"")]),
        (b"\0", [(Opcode.BINARY, b"\0")]),
        (b"x" * 70000, [(Opcode.BINARY, b"x" * 70000)]),
    ],
)
def test_what_the_client_sends(message: str | bytes, frames: list[tuple[Opcode, bytes]]) -> None:
    assert read(opened().encode(message)) == frames


@pytest.mark.parametrize(
    ("code", "reason", "frames"),
    [
        (1000, "", [(Opcode.CLOSE, b"\x03\xe8")]),
        (4000, "bye", [(Opcode.CLOSE, b"\x0f\xa0bye")]),
        # No code has been given, or nothing at all could be.
        (1005, "", [(Opcode.CLOSE, b"")]),
        (1006, "", []),
        (999, "", []),
        (1000, "x" * 124, []),
    ],
)
def test_what_the_client_closes_with(code: int, reason: str, frames: list[tuple[Opcode, bytes]]) -> None:
    translator = opened()
    assert read(translator.disconnect(code, reason)) == frames
    assert translator.closed


def test_pings_and_closes_are_answered() -> None:
    translator = opened()
    translator.feed(frame(Opcode.PING, b"?") + close(4001, "bye"))
    assert read(translator.take_replies()) == [(Opcode.PONG, b"?"), (Opcode.CLOSE, b"\x0f\xa1bye")]
    assert translator.take_replies() == b""


def test_nothing_comes_after_a_close() -> None:
    translator = opened()
    translator.feed(close(1000))
    translator.take_replies()
    assert translator.encode("too late") == translator.disconnect(1000) == b""
    translator = opened()
    translator.disconnect(1000)
    assert translator.feed(close(1000) + frame(Opcode.TEXT, b"too late")) == []
