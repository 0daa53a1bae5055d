# SPDX-License-Identifier: MIT
"""Greenlets and threads that wait for each other."""

import asyncio
import queue
import selectors
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from contextvars import Context
from typing import Any

import pytest

from ashapp.bridge.concurrency.greenlets.greenlet_task import GreenletTask
from ashapp.bridge.websocket.libraries.application_socket import ApplicationSocket, GreenletSelector
from ashapp.bridge.websocket.libraries.greenlets import (
    GreenletEvent,
    GreenletQueue,
    GreenletThread,
    greenlet_sleep,
)
from tests.support.waiting import on_a_thread

Run = Callable[..., Awaitable[Any]]


async def in_a_greenlet(function: Callable[..., Any], *args: object) -> Any:
    async def call() -> Any:
        return function(*args)

    async with asyncio.timeout(20):
        return await GreenletTask(None, call()).drive(Context())


@pytest.fixture(params=[in_a_greenlet, on_a_thread])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


@pytest.fixture(params=[in_a_greenlet, on_a_thread])
def run_other(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


async def test_an_event_is_waited_for(run: Run, run_other: Run) -> None:
    event = GreenletEvent()
    waiting = [asyncio.ensure_future(run(event.wait, timeout)) for timeout in (None, 10, None)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in waiting)
    await run_other(event.set)
    assert await asyncio.gather(*waiting) == [True] * 3


async def test_an_event_is_waited_for_in_vain(run: Run) -> None:
    event = GreenletEvent()
    began = time.monotonic()
    assert await run(event.wait, 0.05) is False
    assert await run(event.wait, 0) is False
    assert time.monotonic() - began >= 0.05


async def test_items_of_a_queue_come_in_order(run: Run, run_other: Run) -> None:
    items = GreenletQueue()

    def take() -> list[int]:
        found = []
        for _ in range(100):
            found.append(items.get(timeout=10))
            items.task_done()
        return found

    def give() -> None:
        for number in range(100):
            items.put(number)
            if number % 10 == 0:
                greenlet_sleep(0.001)
        items.join()

    found, _ = await asyncio.gather(run(take), run_other(give))
    assert found == list(range(100))


async def test_a_queue_is_asked_in_vain(run: Run) -> None:
    items = GreenletQueue()
    for args in ((False,), (True, 0.01)):
        with pytest.raises(queue.Empty):
            await run(items.get, *args)


async def test_code_of_no_request_gets_a_thread() -> None:
    idents: list[int] = []
    thread = GreenletThread(target=idents.append, args=(1,))
    await on_a_thread(thread.start)
    thread.join()
    assert (idents, thread.is_alive()) == ([1], False)


async def test_a_greenlet_is_joined_and_its_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    began = threading.get_ident()
    idents: list[int] = []

    def fail() -> None:
        greenlet_sleep(0.01)
        idents.append(threading.get_ident())
        raise ZeroDivisionError

    def start() -> tuple[bool, bool]:
        greenlet = GreenletThread(target=fail)
        greenlet.start()
        was_alive = greenlet.is_alive()
        greenlet.join()
        return was_alive, greenlet.is_alive()

    assert await in_a_greenlet(start) == (True, False)
    assert idents == [began]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


async def test_a_selector_waits_for_one_socket(run: Run) -> None:
    own, other = socket.socketpair()
    with own, ApplicationSocket(other.detach(), None) as end, closing(GreenletSelector()) as selector:
        selector.register(end, selectors.EVENT_READ)
        assert not await run(selector.select, 0.01)
        own.send(b"x")
        assert await run(selector.select, 10)


async def test_who_writes_to_a_socket_has_gone_when_it_is_closed(run: Run, run_other: Run) -> None:
    """A moment later its descriptor may be that of another connection, which a write would go to."""
    own, other = socket.socketpair()
    with own, ApplicationSocket(other.detach(), None) as end:
        writing = asyncio.ensure_future(run(end.send, bytes(10_000_000)))
        await asyncio.sleep(0.1)
        assert not writing.done()
        await run_other(end.close)
        with pytest.raises(BrokenPipeError):  # not EBADF: it had the descriptor until its end
            await asyncio.wait_for(writing, 10)
        assert end.fileno() == -1


async def test_a_socket_is_open_while_a_file_of_it_is() -> None:
    size = 1_000_000
    own, other = socket.socketpair()
    with own, own.makefile("rb") as received, ApplicationSocket(other.detach(), None) as end:
        file = end.makefile("rb")
        writing = asyncio.ensure_future(asyncio.to_thread(end.send, bytes(size)))
        await asyncio.sleep(0.1)
        end.close()
        assert len(await asyncio.to_thread(received.read, size)) == size
        assert await writing == size
        file.close()
        assert end.fileno() == -1
