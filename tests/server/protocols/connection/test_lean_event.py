# SPDX-License-Identifier: MIT
import asyncio
import sys
from typing import Any

import pytest

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.server.protocols.connection.lean_event import LeanEvent
from tests.server.protocols.conftest import Application, ServeLimited
from tests.support.client import Connection
from tests.support.waiting import until


async def test_it_wakes_all_who_wait() -> None:
    event = LeanEvent()
    waiting = [asyncio.create_task(event.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not event.is_set()

    event.set()
    event.clear()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [True] * 3
    assert not event.is_set()


async def test_one_who_is_cancelled_waits_no_longer() -> None:
    event = LeanEvent()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(event.wait(), 0.01)

    waiting = asyncio.create_task(event.wait())
    await asyncio.sleep(0)
    event.set()
    assert await asyncio.wait_for(waiting, 5)


async def test_nobody_waits_where_it_is_set() -> None:
    event = LeanEvent(is_set=True)
    assert await event.wait()


def test_it_is_small() -> None:
    lean, usual = (sum(map(sys.getsizeof, vars(event).values())) for event in (LeanEvent(), asyncio.Event()))
    assert lean < usual / 5


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks since Python 3.12")
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
