# SPDX-License-Identifier: MIT
"""Requests of threads, which have no task on the loop as long as nothing has to wait there."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from ashapp.server.health.state import Health
from ashapp.server.middleware.front import Front
from ashapp.server.protocols.connection import LimitedProtocol
from ashapp.server.serving.connections import Connections
from tests.server.protocols.conftest import ServeLimited
from tests.support.client import Address, Connection
from tests.support.server import COMBINATIONS
from tests.support.waiting import until

if TYPE_CHECKING:
    from ashapp.observe.observation import Observation

GET = "GET %s HTTP/1.1\r\nHost: shop\r\n\r\n"

pytestmark = pytest.mark.parametrize("combination", [COMBINATIONS[0]], indirect=True, ids="-".join)

seen: ContextVar[list[str] | None] = ContextVar("seen", default=None)


class Shop:
    """An application whose views run on threads, and what is noted of its requests."""

    def __init__(self) -> None:
        self.flask = flask.Flask(__name__)
        self.held = threading.Event()
        self.released = threading.Event()
        self.torn_down = 0
        self.observed: list[Observation] = []
        for rule in ("/whole", "/part", "/stream", "/large", "/fault", "/close", "/hold", "/empty"):
            self.flask.add_url_rule(rule, rule[1:], getattr(self, rule[1:]))
        self.flask.teardown_request(self._tear_down)

    def front(self, **options: Any) -> Front:
        self.bridge = FlaskToAsgi(self.flask, **options)
        return Front(self.bridge, Health(), {}, sinks=[self.observed.append])

    def _tear_down(self, _: BaseException | None) -> None:
        self.torn_down += 1

    def whole(self) -> str:
        known = seen.get()
        if known is None:
            seen.set(known := [])
        known.append("request")
        return str(len(known))

    def part(self) -> flask.Response:
        return flask.Response(b"part", headers={"Content-Length": "9"})

    def stream(self) -> flask.Response:
        return flask.Response(chunk for chunk in (b"one", b"two"))

    def large(self) -> flask.Response:
        return flask.Response(bytes(3 << 20))

    def fault(self) -> str:
        raise SystemError("on purpose")

    def close(self) -> tuple[str, dict[str, str]]:
        return "last", {"Connection": "close"}

    def empty(self) -> tuple[str, int]:
        return "", 204

    def hold(self) -> str:
        self.held.set()
        assert self.released.wait(10)
        return "held"


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.released.set()


@pytest.fixture
def start(serve: ServeLimited, shop: Shop) -> Callable[..., Address]:
    return lambda **options: serve(shop.front(**options), as_it_is=True)


@pytest.mark.parametrize(
    ("line", "status", "body", "is_closed"),
    [
        ("GET /whole HTTP/1.1", 200, b"1", False),
        ("HEAD /whole HTTP/1.1", 200, b"", False),
        ("GET /whole HTTP/1.0", 200, b"1", True),
        ("GET /empty HTTP/1.1", 204, b"", False),
        ("GET /none HTTP/1.1", 404, None, False),
        ("GET /close HTTP/1.1", 200, b"last", True),
        ("GET /fault HTTP/1.1", 500, None, False),
        ("GET /stream HTTP/1.1", 200, b"onetwo", False),
        ("GET /large HTTP/1.1", 200, bytes(3 << 20), False),
    ],
)
def test_each_is_answered_torn_down_and_observed(
    start: Callable[..., Address],
    shop: Shop,
    line: str,
    status: int,
    body: bytes | None,
    is_closed: bool,  # noqa: FBT001
) -> None:
    with Connection(start()) as connection:
        for _ in range(1 if is_closed else 3):
            connection.send(f"{line}\r\nHost: shop\r\n\r\n".encode())
            response = connection.receive(line.partition(" ")[0])
            assert (response.status, body) == (status, response.body if body is not None else None)
            assert response.head.one("x-request-id")
        if is_closed:
            assert connection.is_closed()
    until(lambda: shop.torn_down == len(shop.observed) == (1 if is_closed else 3))
    assert {(each.status, each.place, each.disconnected) for each in shop.observed} == {
        (status, "thread", False)
    }


def test_pipelined_requests_see_nothing_of_each_other(start: Callable[..., Address], shop: Shop) -> None:
    with Connection(start()) as connection:
        connection.send((GET % "/whole").encode() * 20)
        assert [connection.receive().body for _ in range(20)] == [b"1"] * 20
    assert len({each.request_id for each in shop.observed}) == 20


def test_a_client_that_goes_is_noted_when_the_thread_has_done(
    start: Callable[..., Address], shop: Shop, connections: list[LimitedProtocol]
) -> None:
    with Connection(start()) as connection:
        connection.send((GET % "/hold").encode())
        assert shop.held.wait(10)
    until(connections[-1].transport.is_closing)
    shop.released.set()
    until(lambda: len(shop.observed) == 1)
    assert shop.observed[0].disconnected
    assert shop.torn_down == 1


def test_an_end_that_cannot_wait_makes_tasks_to_be_cancelled(
    start: Callable[..., Address], shop: Shop, connections: list[LimitedProtocol]
) -> None:
    with Connection(start()) as connection:
        connection.send((GET % "/hold").encode())
        assert shop.held.wait(10)
        served = connections[-1]
        served.loop.call_soon_threadsafe(Connections({served}).break_off)
        until(lambda: len(served.server_state.tasks) == 1)
        shop.released.set()
        assert connection.receive().body == b"held"


def test_one_that_takes_too_long_is_answered_with_504(
    start: Callable[..., Address], shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with Connection(start(request_timeout=0.2)) as connection:
        connection.send((GET % "/hold").encode())
        assert connection.receive().status == 504
    assert "'GET /hold' took longer than 0.2 s" in caplog.text
    shop.released.set()
    until(lambda: shop.torn_down == 1)
    assert [each.status for each in shop.observed] == [504]


def test_too_many_are_answered_with_503_and_counted(start: Callable[..., Address], shop: Shop) -> None:
    address = start(limit_in_flight=1)
    with Connection(address) as first, Connection(address) as second:
        first.send((GET % "/hold").encode())
        assert shop.held.wait(10)
        second.send((GET % "/whole").encode())
        assert second.receive().status == 503
        shop.released.set()
        assert first.receive().status == 200
        until(lambda: shop.bridge.admission.in_flight == 0)
        for _ in range(2):
            second.send((GET % "/whole").encode())
            assert second.receive().status == 200
            until(lambda: shop.bridge.admission.in_flight == 0)
