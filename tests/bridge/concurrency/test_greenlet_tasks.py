# SPDX-License-Identifier: MIT
import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any

import pytest

from ashapp.bridge.concurrency.greenlet_tasks import run_in_greenlet
from ashapp.bridge.concurrency.greenlets import PooledGreenlet, current_greenlet

mark = ContextVar("mark", default="none")


def here() -> Any:
    """Return what drives the greenlet that runs now."""
    greenlet = current_greenlet()
    assert greenlet is not None
    return greenlet.driver


async def test_sync_code_waits_for_a_coroutine() -> None:
    def wait() -> str:
        result: str = here().run_coroutine(asyncio.sleep(0.001, "waited"))
        return result

    async def call() -> list[str]:
        await asyncio.sleep(0)
        return [wait(), wait()]

    assert await run_in_greenlet(call(), Context()) == ["waited"] * 2
    assert current_greenlet() is None


@pytest.mark.parametrize("error", [ValueError, SystemExit, asyncio.CancelledError])
async def test_it_raises_what_the_coroutine_raises(error: type[BaseException]) -> None:
    async def call() -> None:
        await asyncio.sleep(0)
        raise error("oops")

    with pytest.raises(error, match="oops"):
        await run_in_greenlet(call(), Context())


async def test_the_fiber_is_given_back() -> None:
    greenlets: list[PooledGreenlet | None] = []

    async def call(error: Exception | None) -> None:
        greenlets.append(current_greenlet())
        if error is not None:
            raise error

    await run_in_greenlet(call(None), Context())
    with pytest.raises(ValueError, match="oops"):
        await run_in_greenlet(call(ValueError("oops")), Context())
    await run_in_greenlet(call(None), Context())

    assert greenlets[0] is not None
    assert greenlets == [greenlets[0]] * 3


async def test_it_has_the_context() -> None:
    context = Context()
    context.run(mark.set, "before")

    async def call() -> str:
        before = mark.get()
        mark.set("after")
        return before

    assert await run_in_greenlet(call(), context) == "before"
    assert (context[mark], mark.get()) == ("after", "none")


async def test_a_sync_function_runs_on_a_thread_in_the_context() -> None:
    def work(text: str) -> tuple[str, int]:
        before = mark.get()
        mark.set(text)
        return before, threading.get_ident()

    async def call() -> tuple[tuple[str, int], str]:
        mark.set("coroutine")
        return here().run_on_request_thread(work, text="thread"), mark.get()

    (before, thread), after = await run_in_greenlet(call(), Context())
    assert (before, after) == ("coroutine", "thread")
    assert thread != threading.get_ident()


async def cancel_in(call: Callable[[], Any]) -> None:
    """Cancel a task that runs *call* in a greenlet, as soon as it waits; and again."""

    async def view() -> None:
        call()

    task = asyncio.create_task(run_in_greenlet(view(), Context()))
    for _ in range(2):
        await asyncio.sleep(0.01)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_reaches_the_coroutine() -> None:
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    await cancel_in(lambda: here().run_coroutine(wait()))
    assert seen == ["cancelled"]


async def test_a_cancellation_waits_for_a_sync_function() -> None:
    go = threading.Event()
    seen: list[str] = []

    def work() -> None:
        go.wait(20)
        seen.append("worked")

    def call() -> None:
        try:
            here().run_on_request_thread(work)
        finally:
            seen.append("went on")

    asyncio.get_running_loop().call_later(0.05, go.set)
    await cancel_in(call)
    assert seen == ["worked", "went on"]
