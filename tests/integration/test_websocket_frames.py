# SPDX-License-Identifier: MIT
"""RFC 6455 on the wire, as in Autobahn's test suite: whatever frames a client sends to an echo."""

import socket
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side

from tests.support.client import Address, handshake
from tests.support.process import ServerProcess, serving

_MASK = bytes(4)

Echo = tuple[Opcode, bytes]


class Case(NamedTuple):
    """What a client sends, what comes back before it closes, and the code that the server closes with.

    The client closes with 1000 when all has come back. *size* is how many bytes it sends in one piece.
    """

    data: bytes
    echoes: list[Echo]
    code: int = 1000
    size: int = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with serving(["tests.support.applications.echoes:app"]) as server:
        yield server


def frame(opcode: int, data: bytes = b"", *, last: bool = True, reserved: int = 0) -> bytes:
    """Return a frame of a client; *opcode* and the *reserved* bits may be some that there are not."""
    size = len(data)
    length = size if size < 126 else 126 if size < 65536 else 127
    head = bytes([last << 7 | reserved << 4 | opcode, 0x80 | length])
    extended = b"" if size < 126 else size.to_bytes(2 if length == 126 else 8)
    return head + extended + _MASK + data


def text(data: bytes) -> Echo:
    return Opcode.TEXT, data


def binary(data: bytes) -> Echo:
    return Opcode.BINARY, data


def pong(data: bytes = b"") -> Echo:
    return Opcode.PONG, data


def fragments(opcode: int, *parts: bytes, between: bytes = b"") -> bytes:
    """Return a message in fragments, with the frames *between* after each but the last."""
    opcodes = [opcode] + [0] * (len(parts) - 1)
    frames = [
        frame(code, part, last=number == len(parts))
        for number, (code, part) in enumerate(zip(opcodes, parts, strict=True), 1)
    ]
    return between.join(frames)


def whole(data: bytes, opcode: Opcode = Opcode.TEXT) -> Case:
    return Case(frame(opcode, data), [(opcode, data)])


def closing(data: bytes, code: int) -> Case:
    return Case(frame(8, data), [], code)


GREEK = "κόσμε😀".encode()
VALID = [GREEK, "\ud7ff\ue000\ufffd\uffff\U0001ffff\U0010ffff\x00".encode(), "\u200b­\u0300".encode()]
INVALID = [
    b"\x80",
    b"\xbf",
    b"a\x80\xbf",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x80\x80",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xce",
    b"\xe1\xbd",
    b"\xf0\x9f\x98",
]
SIZES = [0, 1, 125, 126, 127, 128, 65535, 65536, 1 << 20]

CASES: dict[str, Case] = {
    **{f"text of {size}": whole(b"*" * size) for size in SIZES},
    **{f"binary of {size}": whole(b"\xfe" * size, Opcode.BINARY) for size in SIZES},
    "text of 16 MiB": whole(b"*" * (16 << 20)),
    "binary of 16 MiB": whole(b"\xfe" * (16 << 20), Opcode.BINARY),
    "more than 16 MiB": Case(frame(2, bytes((16 << 20) + 1))[:14], [], 1009),
    "octets": whole(GREEK * 20)._replace(size=1),
    "many": Case(frame(1, b"x") * 500, [text(b"x")] * 500),
    # Fragments
    "two": Case(fragments(1, b"a", b"b"), [text(b"ab")]),
    "empty ones": Case(fragments(1, b"", b"", b""), [text(b"")]),
    "empty ends": Case(fragments(1, b"", b"middle", b""), [text(b"middle")]),
    "4 MiB by 64 KiB": Case(fragments(2, *[b"x" * 65536] * 64), [binary(b"x" * (4 << 20))]),
    "64 KiB by 64": Case(fragments(1, *[b"x" * 64] * 1024), [text(b"x" * 65536)]),
    "two messages": Case(fragments(1, b"a", b"b") + fragments(2, b"c", b"d"), [text(b"ab"), binary(b"cd")]),
    "more than 16 MiB in fragments": Case(fragments(2, *[bytes(3 << 20)] * 6)[: (15 << 20) + 84], [], 1009),
    "none begun": Case(frame(0, b"x"), [], 1002),
    "none begun, not the last": Case(frame(0, b"x", last=False), [], 1002),
    "another begins": Case(frame(1, b"a", last=False) + frame(1, b"b"), [], 1002),
    # Control frames
    "ping": Case(frame(9), [pong()]),
    "ping with a payload": Case(frame(9, b"hello"), [pong(b"hello")]),
    "ping with bytes": Case(frame(9, b"\x00\xff\xfe"), [pong(b"\x00\xff\xfe")]),
    "longest ping": Case(frame(9, b"\xfe" * 125), [pong(b"\xfe" * 125)]),
    "ping in octets": Case(frame(9, b"\xfe" * 125), [pong(b"\xfe" * 125)], size=1),
    "too long a ping": Case(frame(9, b"\xfe" * 126), [], 1002),
    "too long a pong": Case(frame(10, b"\xfe" * 126), [], 1002),
    "ping in fragments": Case(fragments(9, b"a", b"b"), [], 1002),
    "pong in fragments": Case(fragments(10, b"a", b"b"), [], 1002),
    "pong that nobody asked for": Case(frame(10) + frame(10, b"x") + frame(9, b"y"), [pong(b"y")]),
    "ten pings": Case(
        b"".join(frame(9, bytes([number])) for number in range(10)), [pong(bytes([n])) for n in range(10)]
    ),
    "pings between fragments": Case(
        fragments(1, b"a", b"b", b"c", between=frame(9, b"?") + frame(10)),
        [pong(b"?"), pong(b"?"), text(b"abc")],
    ),
    # What there is not
    **{f"reserved bits {bits}": Case(frame(1, b"x", reserved=bits), [], 1002) for bits in (1, 2, 3, 7)},
    **{f"reserved bits {bits} of a ping": Case(frame(9, reserved=bits), [], 1002) for bits in (1, 4)},
    **{f"opcode {code}": Case(frame(code), [], 1002) for code in (3, 7, 11, 15)},
    "no mask": Case(b"\x81\x01x", [], 1002),
    # UTF-8
    **{f"UTF-8 {number}": whole(data) for number, data in enumerate(VALID)},
    "UTF-8 cut at each byte": Case(fragments(1, *[bytes([byte]) for byte in GREEK]), [text(GREEK)]),
    **{f"not UTF-8 {data!r}": Case(frame(1, data), [], 1007) for data in INVALID},
    "not UTF-8 in a fragment": Case(fragments(1, GREEK, b"\xed\xa0", b"\x80"), [], 1007),
    "not UTF-8 across fragments": Case(fragments(1, b"\xce", b"x"), [], 1007),
    "cut off in the last fragment": Case(fragments(1, b"x", b"\xce"), [], 1007),
    "not UTF-8 before a close": Case(frame(1, b"\xff") + frame(9) + frame(8, b"\x03\xe8"), [], 1007),
    "not UTF-8 as bytes": whole(b"\xff\xce", Opcode.BINARY),
    # Closes
    "close without a code": closing(b"", 1005),
    "close with a byte": closing(b"\x03", 1002),
    "longest reason": closing(Close(1000, "*" * 123).serialize(), 1000),
    "too long a reason": closing(b"\x03\xe8" + b"*" * 124, 1002),
    "reason in UTF-8": closing(b"\x03\xe8" + GREEK, 1000),
    "reason not in UTF-8": closing(b"\x03\xe8\xce", 1007),
    "close in fragments": Case(fragments(8, b"\x03", b"\xe8"), [], 1002),
    "close between fragments": Case(frame(1, b"a", last=False) + frame(8, b"\x03\xe8"), [], 1000),
    "after a close": Case(frame(8, b"\x03\xe8") + frame(9) + frame(1, b"x"), [], 1000),
    "two closes": Case(frame(8, b"\x03\xe8") * 2, [], 1000),
    **{
        f"code {code}": closing(code.to_bytes(2), code)
        for code in (1000, 1001, 1002, 1003, 1007, 1011, 1012, 3000, 3999, 4000, 4999)
    },
    **{
        f"no such code {code}": closing(code.to_bytes(2), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)
    },
}


def exchange(address: Address, path: str, case: Case) -> tuple[list[Echo], int | None]:
    """Return what comes back, and the code that the server closes with."""
    reader = Protocol(Side.CLIENT, max_size=None)
    echoes: list[Echo] = []
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(handshake(path))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        for start in range(0, len(case.data), case.size):
            client.sendall(case.data[start : start + case.size])
        is_closing = False
        while reader.close_rcvd is None and (data := client.recv(1 << 20)):
            reader.receive_data(data)
            echoes += [
                (event.opcode, bytes(event.data))
                for event in reader.events_received()
                if isinstance(event, Frame) and event.opcode is not Opcode.CLOSE
            ]
            if len(echoes) == len(case.echoes) and case.echoes and not is_closing:
                is_closing = True
                client.sendall(frame(8, b"\x03\xe8"))
    return echoes, None if reader.close_rcvd is None else reader.close_rcvd.code


@pytest.mark.parametrize("path", ["/echo", "/library"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_comes_back(address: Address, path: str, case: Case) -> None:
    assert exchange(address, path, case) == (case.echoes, case.code)
