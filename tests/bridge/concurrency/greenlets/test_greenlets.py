# SPDX-License-Identifier: MIT
"""Sync code that waits, in a greenlet that a task drives."""

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any

import flask
import pytest
from greenlet import getcurrent, greenlet

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.concurrency.call import Call
from ashapp.bridge.concurrency.greenlets import pool
from ashapp.bridge.concurrency.greenlets.current import current_call, current_greenlet, running_call
from ashapp.bridge.concurrency.greenlets.greenlet_task import run_in_greenlet
from ashapp.bridge.concurrency.greenlets.pooled_greenlet import PooledGreenlet
from tests.support.asgi import fetch
from tests.support.waiting import PATIENCE, on_a_thread

mark = ContextVar("mark", default="none")


def here() -> Any:
    """Return what drives the greenlet that runs now."""
    found = current_greenlet()
    assert found is not None
    return found.driver


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> list[PooledGreenlet]:
    """Begin with no greenlets; those that nobody knows, and that have nothing to do."""
    thread = pool._Thread()
    monkeypatch.setattr(pool, "_thread", thread)
    return thread.idle


async def run(function: Callable[[], Any], context: Context | None = None) -> Any:
    """Run sync code as a coroutine of a request calls it."""

    async def call() -> Any:
        await asyncio.sleep(0)
        return function()

    return await run_in_greenlet(call(), Context() if context is None else context)


async def test_greenlets_are_used_again_and_hold_nothing_meanwhile(idle: list[PooledGreenlet]) -> None:
    class Thing:
        pass

    things = [Thing() for _ in range(3)]
    held = [weakref.ref(thing) for thing in things]
    for thing in things:
        await run(lambda thing=thing: thing)  # type: ignore[misc]
    del things, thing
    gc.collect()
    (found,) = idle
    assert found.gr_context is None
    assert not hasattr(found, "driver")
    assert [reference() for reference in held] == [None] * 3


async def test_one_that_a_tracer_knows_from_its_first_step_is_used_again(idle: list[PooledGreenlet]) -> None:
    """That of coverage keeps what it counts by greenlet, weakly."""
    known = weakref.WeakKeyDictionary[Any, int]()
    sys.setprofile(lambda *_: known.setdefault(getcurrent(), 0))
    try:
        for _ in range(3):
            await run(lambda: None)
    finally:
        sys.setprofile(None)
    assert len(idle) == 1


@pytest.mark.parametrize("know", [lambda found: found, weakref.ref, lambda found: setattr(found, "user", 1)])
async def test_one_that_code_knows_is_not_used_again(know: Callable[[Any], Any]) -> None:
    """What is kept by greenlets, or on them, or begun within one, would meet another request there."""
    known: list[Any] = []

    async def look() -> None:
        assert not vars(here().greenlet)
        before = [found() if isinstance(found, weakref.ref) else found for found in known]
        assert here().greenlet not in before
        known.append(know(here().greenlet))
        place = id(here().greenlet)
        await asyncio.sleep(0.01)
        assert id(here().greenlet) == place

    await asyncio.gather(*(run_in_greenlet(look(), Context()) for _ in range(5)))
    for _ in range(5):
        await run_in_greenlet(look(), Context())


async def test_one_that_was_held_is_used_again_when_nobody_holds_it(idle: list[PooledGreenlet]) -> None:
    held = [await run(lambda: here().greenlet)]
    place = id(held[0])
    assert await run(lambda: id(here().greenlet)) != place
    held.clear()
    idle.clear()
    assert await run(lambda: id(here().greenlet)) == place


async def test_not_too_many_greenlets_are_kept(
    monkeypatch: pytest.MonkeyPatch, idle: list[PooledGreenlet]
) -> None:
    monkeypatch.setattr(pool, "_MAX_IDLE", 2)
    used = set[int]()

    def function() -> None:
        used.add(id(here().greenlet))
        here().run_coroutine(asyncio.sleep(0.01))

    await asyncio.gather(*(run(function) for _ in range(5)))
    assert len(used) == 5
    assert len(idle) == 2


async def test_greenlets_are_freed_with_their_thread() -> None:
    held = await on_a_thread(lambda: asyncio.run(run(lambda: weakref.ref(here().greenlet))))
    gc.collect()
    assert held() is None


async def test_sync_code_that_waits_holds_its_greenlet() -> None:
    used = set[int]()

    async def waits() -> None:
        used.add(id(here().greenlet))
        here().run_coroutine(asyncio.sleep(0.01))

    await asyncio.gather(*(run_in_greenlet(waits(), Context()) for _ in range(20)))
    assert len(used) == 20


async def test_a_greenlet_is_kept_for_those_that_were_begun_within_it() -> None:
    """As SQLAlchemy does it: one that is suspended returns to its parent, where it has been begun."""

    async def spawn(name: str) -> list[str]:
        def inner() -> list[str]:
            return [getcurrent().parent.switch(f"{name}{number}") for number in range(5)]  # type: ignore[union-attr]

        outer = here().greenlet
        child = greenlet(inner)
        seen = []
        item = child.switch()
        while not child.dead:
            seen.append(item)
            await asyncio.sleep(0.01)
            assert here().greenlet is outer
            item = child.switch(item)
        assert item == seen
        return seen

    names = [chr(number) for number in range(97, 117)]
    found = await asyncio.gather(*(run_in_greenlet(spawn(name), Context()) for name in names))
    assert found == [[f"{name}{number}" for number in range(5)] for name in names]


# -- whose call is current


def look_from_outside() -> Call | None:
    """Return what another thread finds for this one, which waits."""
    me, found = threading.get_ident(), list[Call | None]()
    thread = threading.Thread(target=lambda: found.append(running_call(sys._current_frames()[me])))
    thread.start()
    thread.join(PATIENCE)
    return found[0]


@pytest.mark.parametrize("is_behind_a_decorator", [False, True], ids=["loop", "thread"])
async def test_the_call_whose_coroutine_runs_is_found(*, is_behind_a_decorator: bool) -> None:
    found = list[str]()

    async def view() -> str:
        for _ in range(2):
            assert threading.current_thread() is threading.main_thread()
            found.extend((str(look_from_outside()), str(current_call())))
            await asyncio.sleep(0)
        return "done"

    def sync_view() -> Any:
        return flask.current_app.ensure_sync(view)()

    app = flask.Flask(__name__, static_folder=None)
    app.add_url_rule("/slow", "slow", sync_view if is_behind_a_decorator else view)
    assert (await fetch(FlaskToAsgi(app), target=b"/slow")).body == b"done"
    assert found == ["GET /slow"] * 4


async def test_what_belongs_to_no_call_has_none() -> None:
    assert await run(lambda: (look_from_outside(), current_call())) == (None, None)
    assert (look_from_outside(), current_call(), running_call(None)) == (None, None, None)
