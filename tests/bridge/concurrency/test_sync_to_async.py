# SPDX-License-Identifier: MIT
"""asgiref's thread-sensitive code, on the request thread of its request."""

import asyncio
import threading
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for_all
from contextvars import Context
from typing import Any

import pytest
from asgiref.sync import AsyncToSync, sync_to_async

from ashapp.bridge.concurrency.request_threads import Lease, RequestThreads, current_lease
from ashapp.bridge.concurrency.sync_to_async import RequestThreadExecutor, loop_context


@pytest.fixture
def lease() -> Lease:
    return Lease(RequestThreads(2))


def submit(lease: Lease | None, *args: Any) -> Future[Any]:
    """Submit a callable in the context of a request that has *lease*."""
    context = Context()
    context.run(current_lease.set, lease)
    return context.run(RequestThreadExecutor().submit, *args)


def lane_thread(lease: Lease | None) -> Any:
    return submit(lease, threading.current_thread).result(20)


def test_it_runs_on_the_lane(lease: Lease) -> None:
    assert lane_thread(lease).name.startswith("ashapp-request thread")
    assert lane_thread(lease) is lane_thread(lease)


def test_it_passes_arguments_and_what_is_raised(lease: Lease) -> None:
    assert submit(lease, divmod, 7, 2).result(20) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        submit(lease, divmod, 7, 0).result(20)
    assert isinstance(submit(lease, _exit).exception(20), SystemExit)


def _exit() -> None:
    raise SystemExit


def test_what_was_cancelled_is_not_run(lease: Lease) -> None:
    end = threading.Event()
    ran: list[str] = []
    first = submit(lease, end.wait, 20)
    second = submit(lease, ran.append, "second")
    assert second.cancel()
    end.set()
    third = submit(lease, ran.append, "third")
    wait_for_all([first, third], 20)

    assert ran == ["third"]
    with pytest.raises(CancelledError):
        second.result(20)


def test_without_a_lease_it_runs_where_asgiref_runs_it(lease: Lease) -> None:
    lease.end()

    for none in [None, lease]:
        assert not lane_thread(none).name.startswith("ashapp-request thread")


async def test_sync_to_async_finds_it_in_the_context_of_a_request(lease: Lease) -> None:
    async def work() -> str:
        current_lease.set(lease)
        await asyncio.create_task(sync_to_async(threading.current_thread)())  # in a task of its own, too
        return (await sync_to_async(threading.current_thread)()).name

    name = await asyncio.get_running_loop().create_task(work(), context=loop_context(Context()))

    assert name.startswith("ashapp-request thread")
    assert not hasattr(AsyncToSync.executors, "current")


def test_each_thread_has_its_own() -> None:
    def look(found: list[Any]) -> None:
        found.append(loop_context(Context()).run(getattr, AsyncToSync.executors, "current", None))

    found: list[Any] = []
    thread = threading.Thread(target=look, args=(found,))
    thread.start()
    thread.join()
    look(found)

    assert [type(executor) for executor in found] == [RequestThreadExecutor, RequestThreadExecutor]
