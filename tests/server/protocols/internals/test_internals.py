# SPDX-License-Identifier: MIT
"""What of others is reached into is still as it was, and what they call ``auto`` is still the same here."""

import asyncio
import inspect
import pkgutil
import re
import sys
from importlib import metadata
from typing import Any

import pytest
from packaging.version import Version

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.server.protocols import ConnectionLimits, limited_protocol
from ashapp.server.protocols.h11_protocol import LimitedH11Protocol
from ashapp.server.protocols.httptools_protocol import LimitedHttpToolsProtocol
from ashapp.server.protocols.internals import REACHED, TESTED, HeldFlow, LeanEvent
from tests.server.protocols.conftest import Application, ServeLimited, on_each_loop
from tests.support.client import Connection
from tests.support.waiting import until

LIMITS = ConnectionLimits(head=1000)

NAMES = [
    (reached.owner, name, parameters)
    for reached in REACHED
    for name, parameters in re.findall(r"(\w+)(\([\w, ]*\))?", reached.names)
]


@pytest.mark.parametrize(
    ("owner", "name", "parameters"), NAMES, ids=[f"{owner}.{name}" for owner, name, _ in NAMES]
)
def test_what_is_reached_into_is_there(owner: str, name: str, parameters: str) -> None:
    found = pkgutil.resolve_name(owner)
    if parameters:
        _, *accepted = inspect.signature(getattr(found, name)).parameters
        assert f"({', '.join(accepted)})" == parameters
    else:
        methods = [vars(base).values() for base in found.__mro__]
        code = [method.__code__.co_names for base in methods for method in base if inspect.isfunction(method)]
        assert any(name in names for names in code)


@pytest.mark.parametrize("project", TESTED)
def test_the_version_that_is_installed_is_not_older_than_those_tested(project: str) -> None:
    assert Version(metadata.version(project)) >= Version(TESTED[project][0])


@pytest.mark.parametrize(
    ("http", "protocol"),
    [
        (None, LimitedHttpToolsProtocol),
        ("auto", LimitedHttpToolsProtocol),
        ("httptools", LimitedHttpToolsProtocol),
        ("h11", LimitedH11Protocol),
    ],
)
def test_uvicorns_names_stand_for_limited_protocols(http: str | None, protocol: type) -> None:
    chosen = limited_protocol(http, LIMITS)
    assert (chosen.func, chosen.keywords) == (protocol, {"limits": LIMITS})


@pytest.mark.parametrize("http", ["zttp", "shop.protocol:Protocol"])
def test_other_protocols_are_left_as_they_are(http: str) -> None:
    assert limited_protocol(http, LIMITS) is None


def test_h11_is_taken_where_httptools_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ashapp.server.protocols.httptools_protocol", None)
    assert limited_protocol("auto", LIMITS).func is LimitedH11Protocol
    with pytest.raises(ImportError):
        limited_protocol("httptools", LIMITS)


async def test_a_lean_event_is_an_event_and_small() -> None:
    event = LeanEvent()
    waiting = [asyncio.create_task(event.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting.pop().cancel()
    event.set()
    event.clear()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [True] * 2
    assert not event.is_set()
    assert await LeanEvent(is_set=True).wait()
    lean, usual = (sum(map(sys.getsizeof, vars(each).values())) for each in (event, asyncio.Event()))
    assert lean < usual / 5


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks since Python 3.12")
@on_each_loop
def test_a_request_whose_task_begins_at_once_gets_its_body(serve: ServeLimited, app: Application) -> None:
    # asyncio.eager_task_factory of Python 3.13.0 does not take what uvloop passes.
    def begin(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop, **{**options, "eager_start": True})

    async def hasten(scope: Scope, receive: Receive, send: Send) -> None:
        asyncio.get_running_loop().set_task_factory(begin)
        await app(scope, receive, send)

    with Connection(serve(hasten)) as connection:
        connection.send(b"GET /unread HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert connection.receive().body == b"unread"
        connection.send(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\n")
        until(lambda: len(app.headers) == 2)
        connection.send(b"hello")
        assert connection.receive().body == b"5"


class Transport(asyncio.Transport):
    """Notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")

    def is_closing(self) -> bool:
        return False


def test_a_flow_that_is_held_is_not_read_whoever_wants_to() -> None:
    transport = Transport()
    flow = HeldFlow(transport)
    flow.hold()
    flow.pause_reading()
    flow.resume_reading()
    assert transport.asked == ["pause", "pause"]
    flow.release()
    assert transport.asked.pop() == "resume"
    flow.pause_reading()
    flow.hold()
    flow.release()
    assert transport.asked == ["pause"] * 4
    flow.resume_reading()
    assert transport.asked.pop() == "resume"
