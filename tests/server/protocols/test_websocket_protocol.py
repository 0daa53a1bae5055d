# SPDX-License-Identifier: MIT
"""The protocol of a WebSocket does what uvicorn's does, and takes note of it."""

import asyncio
import itertools
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from uvicorn.protocols.utils import ClientDisconnected
from websockets.frames import CloseCode, Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from ashapp.observe.observer import Observer
from ashapp.server.protocols.websocket_protocol import WebSocketProtocol
from tests.support.client import Address, Connection, handshake
from tests.support.network.tls import make_certificate, needs_openssl
from tests.support.server import serving
from tests.support.waiting import until

if TYPE_CHECKING:
    from ashapp.observe.observation import Observation

BOTH = pytest.mark.parametrize("ws", [WebSocketProtocol, "websockets-sansio"], ids=["ours", "theirs"])


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


def opened(address: Address, **options: Any) -> ClientConnection:
    url = f"ws://{address[0]}:{address[1]}/"
    client: ClientConnection = connect(url, proxy=None, compression=None, **options)
    return client


def write(client: ClientConnection, *frames: Frame) -> None:
    client.socket.sendall(b"".join(frame.serialize(mask=True) for frame in frames))


@BOTH
def test_messages_are_counted(ws: Any) -> None:
    ended: list[Observation] = []
    with serving(Observer(echo, [ended.append]), ws=ws, lifespan="off", interface="asgi3") as address:
        with opened(address) as client:
            for message in ("é", b"123", "", "x" * 70_000):
                client.send(message)
                assert client.recv(5) == message
            client.send(iter(["a", "bc"]))
            assert client.recv(5) == "abc"
            client.close(4000)
        until(lambda: ended)
    assert (ended[0].status, ended[0].sent) == (101, 70_008)
    assert ended[0].details == {
        "close_code": 4000,
        "sent_messages": 5,
        "received_messages": 5,
        "received_bytes": 70_008,
    }


@pytest.fixture
def codes() -> list[int]:
    """With which codes the clients of ``wait_for_the_end`` have gone."""
    return []


@pytest.fixture
def wait_for_the_end(codes: list[int]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        code = (await receive())["code"]
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "late"})
        codes.append(code)

    return app


def test_a_client_that_vanishes_has_gone_with_1006(wait_for_the_end: Any, codes: list[int]) -> None:
    with serving(wait_for_the_end, ws=WebSocketProtocol, lifespan="off") as address:
        with opened(address) as client:
            client.socket.shutdown(socket.SHUT_RDWR)
        with opened(address) as client:
            write(client, Frame(Opcode.CLOSE, b""))
        until(lambda: len(codes) == 2)
    assert codes == [1006, 1005]


@needs_openssl
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_messages_that_have_been_read_ahead_are_received_behind_the_end(tmp_path: Path, loop: str) -> None:
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while not events or events[-1]["type"] == "websocket.receive":
            events.append(await receive())
            await asyncio.sleep(0.2 if len(events) < 3 else 0)

    files = make_certificate(tmp_path)
    context = ssl.create_default_context(cafile=files["ssl_certfile"])
    with serving(app, ws=WebSocketProtocol, lifespan="off", loop=loop, **files) as address:
        url = f"wss://localhost:{address[1]}/"
        with connect(url, sock=socket.create_connection(address), ssl=context, proxy=None) as client:
            frame = Frame(Opcode.TEXT, b"x" * 9)
            data = frame.serialize(mask=True, extensions=client.protocol.extensions)
            client.socket.sendall(data * 600 + Frame(Opcode.CLOSE, b"\x0f\xa0").serialize(mask=True))
            client.socket.close()
        until(lambda: events[-1:] and events[-1]["type"] == "websocket.disconnect")
    assert (len(events), events[-1]["code"]) == (601, 4000)


def test_a_client_may_close_between_fragments(wait_for_the_end: Any, codes: list[int]) -> None:
    with (
        serving(wait_for_the_end, ws=WebSocketProtocol, lifespan="off") as address,
        opened(address) as client,
    ):
        write(client, Frame(Opcode.TEXT, b"a", fin=False), Frame(Opcode.CLOSE, b"\x0f\xa0bye"))
        until(lambda: codes == [4000])


def test_a_client_may_answer_a_close_between_fragments(caplog: pytest.LogCaptureFixture) -> None:
    async def close(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.close", "code": 4000, "reason": ""})

    with serving(close, ws=WebSocketProtocol, lifespan="off") as address, Connection(address) as client:
        client.send(handshake())
        assert client.receive_head().status == 101
        client.send(Frame(Opcode.TEXT, b"a").serialize(mask=True))
        assert client.receive_bytes(4) == b"\x88\x02\x0f\xa0"
        client.send(Frame(Opcode.TEXT, b"a", fin=False).serialize(mask=True))
        client.send(Frame(Opcode.CLOSE, b"\x0f\xa0").serialize(mask=True))
        assert client.is_closed()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_what_comes_before_the_answer_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    began, codes = threading.Event(), []

    async def wait(_scope: Any, receive: Any, _send: Any) -> None:
        await receive()
        began.set()
        codes.append((await receive())["code"])

    with serving(wait, ws=WebSocketProtocol, lifespan="off") as address, Connection(address) as client:
        client.send(handshake())
        assert began.wait(5)
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.receive().status == 400
        assert client.is_closed()
    assert codes == [1006]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def frames_of(opcode: Opcode, data: bytes, number: int, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin=fin).serialize(mask=True) * number


@pytest.mark.parametrize(
    ("first", "frames"),
    [
        (b"", frames_of(Opcode.PING, b"", 100_000)),
        (b"", frames_of(Opcode.TEXT, b"x", 100_000)),
        (frames_of(Opcode.TEXT, b"x", 1, fin=False), frames_of(Opcode.CONT, b"", 100_000, fin=False)),
    ],
    ids=["pings", "texts", "fragments"],
)
def test_many_frames_do_not_hold_up_others(first: bytes, frames: bytes) -> None:
    turns: list[float] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        ticking = asyncio.create_task(tick())
        while (await receive()).get("text") != "end":
            pass
        ticking.cancel()
        await send({"type": "websocket.send", "text": "done"})

    async def tick() -> None:
        while True:
            turns.append(time.monotonic())
            await asyncio.sleep(0)

    ending = frames_of(Opcode.CONT, b"", 1) if first else b""
    with serving(app, ws=WebSocketProtocol, lifespan="off") as address, opened(address) as client:
        client.socket.sendall(first + frames + ending + frames_of(Opcode.TEXT, b"end", 1))
        assert client.recv(60) == "done"
    longest = max(later - earlier for earlier, later in itertools.pairwise(turns))
    assert longest < (turns[-1] - turns[0]) / 5


@pytest.mark.parametrize("closes", [True, False])
def test_who_takes_no_pongs_gets_the_last(*, closes: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": b"x" * (8 << 20)})
        await receive()

    pings = [
        Frame(Opcode.PING, bytes(121) + number.to_bytes(4)).serialize(mask=True) for number in range(5000)
    ]
    end = Frame(Opcode.CLOSE, b"\x03\xe8") if closes else Frame(Opcode.TEXT, b"")
    with serving(app, ws=WebSocketProtocol, lifespan="off") as address, Connection(address) as client:
        client.send(handshake())
        assert client.receive_head().status == 101
        client.send(b"".join(pings) + end.serialize(mask=True))
        time.sleep(0.2)
        received = client.receive_bytes(-1)
    last = len(pings) - 1
    assert received.count(bytes(121)) < last
    assert received.endswith(last.to_bytes(4) + (b"\x88\x02\x03\xe8" if closes else b""))


def test_a_pong_may_be_behind_a_message_that_waits() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(1.5)
        await receive()
        await send({"type": "websocket.send", "text": "done"})

    options = {"ws_ping_interval": 1, "ws_ping_timeout": 0.1}
    with (
        serving(app, ws=WebSocketProtocol, lifespan="off", **options) as address,
        opened(address) as client,
    ):
        client.send("x")
        assert client.recv(10) == "done"


def test_a_ping_may_be_behind_what_the_client_has_yet_to_take() -> None:
    size = 16 << 20
    received: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(size)})
        received.append((await receive())["type"])

    options = {"ws_ping_interval": 0.2, "ws_ping_timeout": 0.2}
    with (
        serving(app, ws=WebSocketProtocol, lifespan="off", **options) as address,
        Connection(address, receive_buffer=65536) as client,
    ):
        client.send(handshake())
        assert client.receive_head().status == 101
        for _ in range(64):
            client.receive_bytes(size // 64)
            time.sleep(0.02)
        client.send(frames_of(Opcode.TEXT, b"all", 1))
        until(lambda: received)
    assert received == ["websocket.receive"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (Frame(Opcode.BINARY, bytes(2_000_000)), CloseCode.MESSAGE_TOO_BIG),
        (Frame(Opcode.CONT, b"x"), CloseCode.PROTOCOL_ERROR),
        (Frame(Opcode.TEXT, b"\xff"), CloseCode.INVALID_DATA),
    ],
    ids=["too long", "no fragment", "not UTF-8"],
)
def test_a_client_that_still_sends_is_told_why_it_is_closed(
    data: Frame, code: CloseCode, caplog: pytest.LogCaptureFixture
) -> None:
    received: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            received.append(event["text"])
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "late"})
        received.append(event["code"])

    with (
        serving(app, ws=WebSocketProtocol, lifespan="off", ws_max_size=1_000_000) as address,
        Connection(address) as client,
    ):
        client.send(handshake())
        assert client.receive_head().status == 101
        frames = Frame(Opcode.TEXT, b"before"), data, Frame(Opcode.PING, b"")
        client.send(b"".join(frame.serialize(mask=True) for frame in frames))
        for _ in range(10):
            time.sleep(0.01)
            client.send(bytes(100_000))
        opcode, _, *reason = client.receive_bytes(-1)
        assert (opcode, bytes(reason[:2])) == (0x88, code.to_bytes(2))
    until(lambda: len(received) == 2)
    assert received == ["before", code]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    "code", [CloseCode.SERVICE_RESTART, 4000], ids=["by the server", "by the application"]
)
def test_a_client_that_still_sends_is_told_that_the_service_ends(code: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            if code == 4000:
                await send({"type": "websocket.close", "code": code})

    sent, data = threading.Event(), frames_of(Opcode.BINARY, bytes(10_000), 20)

    def keep_sending() -> None:
        for _ in range(20):
            client.send(data)
            sent.set()
            time.sleep(0.01)

    with ThreadPoolExecutor(1) as pool:
        with serving(app, ws=WebSocketProtocol, lifespan="off") as address:
            client = Connection(address)
            client.send(handshake())
            assert client.receive_head().status == 101
            sending = pool.submit(keep_sending)
            assert sent.wait(5)
        sending.result()
        assert client.receive_bytes(4) == b"\x88\x02" + code.to_bytes(2)
        client.close()


def test_several_wait_for_a_message_and_one_gives_up() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        tasks = [asyncio.create_task(receive()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        await send({"type": "websocket.send", "text": "ready"})
        texts = [event["text"] for event in await asyncio.gather(*tasks[:2])]
        await send({"type": "websocket.send", "text": "".join(sorted(texts))})

    with serving(app, ws=WebSocketProtocol, lifespan="off") as address, opened(address) as client:
        assert client.recv(10) == "ready"
        client.send("a")
        client.send("b")
        assert client.recv(10) == "ab"
