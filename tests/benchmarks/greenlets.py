# SPDX-License-Identifier: MIT
"""``python -m tests.benchmarks.greenlets``: what sync code that waits for a coroutine costs, and may expect.

Our greenlets, as a request uses them, beside greenback, which does the same with a greenlet for each call.
Each call is eight functions deep, as Flask's dispatch is, and has a context of its own, as a request has. The
costs are CPU time of one process, the least of some rounds; memory is what a process grows by, with so many
calls waiting at once. A plain coroutine that awaits the same is there for comparison.
"""

import asyncio
import importlib
import multiprocessing
import platform
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextvars import Context, ContextVar
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import coroutine
from typing import Any

import uvloop

from ashapp.bridge.concurrency import greenlets
from tests.benchmarks.memory import resident
from tests.benchmarks.report import table

__all__ = ["BEHAVIOURS", "CALLS", "LOOPS", "WAYS", "Way", "behaves", "main", "memory", "microseconds"]

#: Waiting at once, for their memory.
CALLS = 10_000
_REPEATS = 5_000
_ROUNDS = 7
_DEPTH = 8

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}

_variable: ContextVar[str] = ContextVar("variable", default="unset")


@dataclass(frozen=True)
class Way:
    """A way for sync code to wait: *run* awaits a sync function in a context; in there *wait* waits."""

    run: Callable[[Callable[[], Any], Context], Awaitable[Any]]
    wait: Callable[[Coroutine[Any, Any, Any]], Any]


# -- ours


async def _run_in_greenlet(function: Callable[[], Any], context: Context) -> Any:
    return await greenlets.Driver().drive(function, context)


def _wait_in_greenlet(awaited: Coroutine[Any, Any, Any]) -> Any:
    greenlet = greenlets.current_greenlet()
    assert greenlet is not None
    return greenlet.wait_for(awaited)


# -- greenback, by name: it is installed for the benchmark alone, not where types are checked


@cache
def _greenback() -> Any:
    return importlib.import_module("greenback")


async def _run_in_portal(function: Callable[[], Any], context: Context) -> Any:
    return await _greenback().with_portal_run_sync(context.run, function)


def _wait_in_portal(awaited: Coroutine[Any, Any, Any]) -> Any:
    return _greenback().await_(awaited)


WAYS = {
    "greenlet": Way(_run_in_greenlet, _wait_in_greenlet),
    "greenback": Way(_run_in_portal, _wait_in_portal),
}


# -- costs


def _nested(depth: int, function: Callable[[], Any]) -> Any:
    return _nested(depth - 1, function) if depth else function()


@coroutine
def _pause() -> Generator[None, None, None]:
    yield


async def _view(waits: int) -> None:
    for _ in range(waits):
        await _pause()


async def _call(way: Way | None, waits: int) -> None:
    if way is None:
        await _view(waits)
    else:
        await way.run(lambda: _nested(_DEPTH, lambda: way.wait(_view(waits))), Context())


def microseconds(way: Way | None, waits: int, *, repeats: int = _REPEATS, rounds: int = _ROUNDS) -> float:
    """Return the CPU time of a call that waits so many times; None is for a plain ``await``."""

    async def run() -> float:
        start = time.process_time()
        for _ in range(repeats):
            await _call(way, waits)
        return (time.process_time() - start) / repeats * 1e6

    async def least() -> float:
        return min([await run() for _ in range(rounds)])

    return asyncio.run(least())


def memory(name: str, calls: int = CALLS) -> float:
    """Return the KiB by which this process grows for each of the *calls* that wait; "" is plain ``await``."""

    async def hold(released: asyncio.Event) -> None:
        await released.wait()

    async def run() -> float:
        way = WAYS.get(name)
        released = asyncio.Event()
        await _call(way, 1)
        before = _resident()
        tasks = [asyncio.create_task(_held(way, hold, released)) for _ in range(calls)]
        await asyncio.sleep(0.1)
        grown = _resident() - before
        released.set()
        await asyncio.gather(*tasks)
        return grown / calls

    return asyncio.run(run())


async def _held(way: Way | None, hold: Callable[[asyncio.Event], Any], released: asyncio.Event) -> None:
    if way is None:
        await hold(released)
    else:
        await way.run(lambda: _nested(_DEPTH, lambda: way.wait(hold(released))), Context())


def _resident() -> int:
    return resident(Path("/proc/self/status").read_text(), "VmRSS")


# -- behaviour


async def _is_cancelled_where_it_waits(way: Way) -> bool:
    seen = []

    def function() -> None:
        try:
            way.wait(asyncio.sleep(10))
        except asyncio.CancelledError as error:
            seen.append(error)
            raise

    task = asyncio.ensure_future(way.run(function, Context()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return task.cancelled() and len(seen) == 1


async def _times_out(way: Way) -> bool:
    async def view() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(10)
        except TimeoutError:
            await asyncio.sleep(0)
            return "late"
        return "in time"

    task = asyncio.ensure_future(way.run(lambda: way.wait(view()), Context()))
    return await task == "late" and not task.cancelling()


async def _waits_inside_of_a_wait(way: Way) -> bool:
    async def inner() -> int:
        await asyncio.sleep(0)
        return 1

    async def outer() -> int:
        before: int = way.wait(inner())
        await asyncio.sleep(0)
        return before + int(way.wait(inner()))

    return bool(await way.run(lambda: way.wait(outer()), Context()) == 2)


async def _keeps_what_it_sets(way: Way) -> bool:
    async def view() -> None:
        _variable.set("view")

    def function() -> str:
        way.wait(view())
        return _variable.get()

    return await way.run(function, Context()) == "view" and _variable.get() == "unset"


async def _lends_its_context(way: Way) -> bool:
    """Whether others may enter the context of a call that waits for them, and it sees what they set."""
    context = Context()

    async def view() -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_soon(enter, done)  # when this call has been suspended
        await done

    def enter(done: asyncio.Future[None]) -> None:
        try:
            context.run(_variable.set, "from outside")
        except RuntimeError as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    def function() -> str:
        way.wait(view())
        return _variable.get()

    try:
        return bool(await way.run(function, context) == "from outside")
    except RuntimeError:
        return False


#: What a call may expect, and how that is found out.
BEHAVIOURS: dict[str, Callable[[Way], Coroutine[Any, Any, bool]]] = {
    "task.cancel() raises CancelledError where the sync code waits": _is_cancelled_where_it_waits,
    "asyncio.timeout() in the coroutine": _times_out,
    "sync code that the coroutine calls may wait": _waits_inside_of_a_wait,
    "what the coroutine sets the sync code sees, and nobody else": _keeps_what_it_sets,
    "a thread or another task may enter its context while it waits": _lends_its_context,
}


def behaves(name: str, way: Way, loop: str) -> bool:
    """Return whether calls in that *way* behave as it is called in ``BEHAVIOURS``, on a loop of ``LOOPS``."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(BEHAVIOURS[name](way))


# -- report


def _costs() -> Iterator[tuple[str, ...]]:
    processes = multiprocessing.get_context("spawn")
    for name, way in {"": None, **WAYS}.items():
        with processes.Pool(1) as pool:
            kibibytes = pool.apply(memory, [name])
        costs = [f"{microseconds(way, waits):.1f}" for waits in (0, 1, 10)]
        yield name or "plain await", *costs, f"{kibibytes:.1f}"


def main() -> None:
    """Measure, and print two tables."""
    versions = (f"{name} {version(name)}" for name in ("greenlet", "greenback", "uvloop"))
    print(f"{platform.python_implementation()} {platform.python_version()}", *versions, sep=", ", end="\n\n")
    header = ("", "no wait, µs", "one wait, µs", "ten waits, µs", f"KiB each, {CALLS:,} waiting")
    print(table(header, list(_costs())), end="\n\n")
    columns = [(name, loop) for name in WAYS for loop in LOOPS]
    rows = [
        (behaviour, *("yes" if behaves(behaviour, WAYS[name], loop) else "no" for name, loop in columns))
        for behaviour in BEHAVIOURS
    ]
    print(table(("", *(f"{name}, {loop}" for name, loop in columns)), rows))


if __name__ == "__main__":
    main()
