# SPDX-License-Identifier: MIT
import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ashapp.observe import socket_observation
from ashapp.observe.logs.access_log import JsonLine, console_line
from ashapp.observe.logs.formats import console_renderer
from ashapp.observe.metrics.requests import RequestMetrics
from ashapp.observe.observation import Message, Observation, current
from ashapp.observe.observer import Observer
from tests.support.asgi import http_scope

CONNECT = {"type": "websocket.connect"}
TEXT = {"type": "websocket.receive", "text": "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n"}
ACCEPT = {"type": "websocket.accept"}
SENT = {"type": "websocket.send", "bytes": b"123"}
CLOSE = {"type": "websocket.close", "code": 4000}
DENIAL = {"type": "websocket.http.response.start", "status": 404, "headers": []}
BODY = {"type": "websocket.http.response.body", "body": b"none"}


def gone(code: int) -> Message:
    return {"type": "websocket.disconnect", "code": code}


class Socket:
    """A WebSocket whose client sends *received*, and whose application sends *sent* after that."""

    def __init__(
        self, received: list[Message], sent: list[Message], then: BaseException | None = None
    ) -> None:
        self._received, self._sent, self._then = [CONNECT, *received], sent, then
        self.answers: list[Message] = []
        self.ended: list[Observation] = []
        self.lines: list[dict[str, Any]] = []
        self.registry = CollectorRegistry()
        self.metrics = RequestMetrics(self.registry)

    async def serve(self) -> Observation:
        scope = http_scope(type="websocket", scheme="ws")
        del scope["method"]
        messages = list(self._received)

        async def receive() -> Message:
            return messages.pop(0)

        async def send(message: Message) -> None:
            self.answers.append(message)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert current.get() is not None
            assert self.metrics.active == 0, "it is none of the requests that are counted"
            for _ in self._received:
                await receive()
            for message in self._sent:
                await send(message)
            if self._then is not None:
                raise self._then

        await Observer(app, [self.metrics, self.ended.append])(scope, receive, send)
        return self.ended[0]

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.mark.parametrize(
    ("socket", "status", "code", "counts", "sent"),
    [
        (Socket([TEXT, TEXT], [ACCEPT, SENT, CLOSE]), 101, 4000, (1, 2, 10), 3),
        (Socket([], [ACCEPT, {"type": "websocket.close"}]), 101, 1000, (0, 0, 0), 0),
        (Socket([TEXT, gone(1001)], [ACCEPT, CLOSE]), 101, 1001, (0, 1, 5), 0),
        (Socket([gone(1006)], [ACCEPT]), 101, 1006, (0, 0, 0), 0),
        (Socket([], [CLOSE]), 403, None, (0, 0, 0), 0),
        (Socket([], [DENIAL, BODY]), 404, None, (0, 0, 0), 4),
    ],
)
async def test_a_websocket_ends_once_with_what_came_of_it(
    socket: Socket, status: int, code: int | None, counts: tuple[int, int, int], sent: int
) -> None:
    seen = await socket.serve()
    assert (seen.status, seen.sent, seen.disconnected) == (status, sent, code == 1006)
    names = ("sent_messages", "received_messages", "received_bytes")
    assert seen.details == {"close_code": code, **dict(zip(names, counts, strict=True))}
    line = json.loads(JsonLine()(seen, 0.0))
    assert (line["event"], line["method"], line["status"]) == ("websocket", "GET", status)
    assert {name: line[name] for name in seen.details} == seen.details
    for_reader = console_line(seen, 0.0, render=console_renderer(colors=False), query=False)
    assert f"WebSocket / {status}" in for_reader
    is_open = status == 101
    assert socket.value("ashapp_websocket_closes_total", ashapp_close_code=str(code)) == (
        1 if is_open else None
    )
    timed = [
        s for m in socket.registry.collect() for s in m.samples if s.name.endswith("duration_seconds_count")
    ]
    assert [sample.value for sample in timed] == ([] if is_open else [1])
    headers = dict(socket.answers[0].get("headers", ()))
    assert headers in ({b"x-request-id": seen.request_id.encode()}, {})


async def test_a_handler_that_fails_is_noted() -> None:
    socket = Socket([], [ACCEPT, SENT], LookupError())
    with pytest.raises(LookupError):
        await socket.serve()
    assert (socket.ended[0].status, socket.ended[0].sent) == (101, 3)


async def test_messages_are_counted_while_a_websocket_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_observation, "messages", dict.fromkeys(socket_observation.messages, 0))
    socket = Socket([TEXT, TEXT], [ACCEPT, SENT])
    await socket.serve()
    for _ in range(2):
        socket.metrics.take_over({}, socket_observation.messages, 0)
    assert socket.value("ashapp_websocket_messages_total", ashapp_direction="received") == 2
    assert socket.value("ashapp_websocket_messages_total", ashapp_direction="sent") == 1
