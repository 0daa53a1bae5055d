# SPDX-License-Identifier: MIT
import asyncio
import logging
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from ashapp.observe.observation import Observation
from ashapp.observe.observer import Observer
from ashapp.server.health.blocking_views import BlockingViews, find_request
from ashapp.server.health.loop_monitor import LoopMonitor
from ashapp.server.health.stalls import LocalBeats
from tests.support.asgi import fetch, http_scope
from tests.support.waiting import PATIENCE

LIMIT = 0.02
REASON = "it has blocked the event loop 2 times for more than 0.02 s"


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.WARNING, "ashapp.server"):
        yield


class Shop:
    """An application with a view that blocks until that is noted, below a guard of the loop."""

    def __init__(self) -> None:
        self.app = flask.Flask("shop", static_folder=None)
        self.app.add_url_rule("/slow", "slow", self.slow)
        self.bridge = FlaskToAsgi(self.app)
        self.observer = Observer(self.bridge)
        self.counted: list[str] = []
        self.blocking = BlockingViews(self.app, LIMIT, Counter(), [self.counted.append])
        self.is_on_server = True
        self._noted = threading.Event()

    async def slow(self) -> str:
        await asyncio.sleep(0)
        self.is_on_server = threading.current_thread() is threading.main_thread()
        if self.is_on_server:
            assert self._noted.wait(PATIENCE), "not noted"
            self._noted.clear()
        return "done"

    @asynccontextmanager
    async def guarded(self) -> AsyncIterator[None]:
        guard = LoopMonitor(
            LocalBeats(), threshold=LIMIT / 4, find=find_request, note=self._note, limit=LIMIT
        )
        await guard.start()
        try:
            yield
        finally:
            await guard.stop()

    def _note(self, request: Observation, seconds: float) -> None:
        self.blocking.note(request, seconds)
        self._noted.set()


@pytest.fixture
def shop() -> Shop:
    return Shop()


def note(shop: Shop, endpoint: str | None = "slow") -> None:
    request = Observation(http_scope(target=b"/slow"), None, lambda _: None)  # type: ignore[arg-type]
    request.route, request.endpoint = "/slow", endpoint
    shop.blocking.note(request, 0.5)


async def test_a_view_that_blocks_twice_is_moved_to_threads(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    async with shop.guarded():
        for on_server in (True, True, False):
            assert (await fetch(shop.observer, target=b"/slow")).body == b"done"
            assert shop.is_on_server is on_server
    assert shop.blocking.moved == {"slow": REASON}
    assert shop.counted == ["slow", "slow"]
    name = "GET '/slow' (endpoint 'slow')"
    first, second = (message for message in caplog.messages if message.startswith(name))
    assert first == f"{name} blocks the event loop for more than 0.02 s. The next time it is moved to threads"
    moved = (
        f"{name} is moved to threads, with an event loop of its own for each request: {REASON}, now for 0."
    )
    assert second.startswith(moved)


async def test_what_has_blocked_a_worker_before_is_kept_on_threads_from_the_start(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    blocking = BlockingViews(shop.app, LIMIT, Counter(slow=2, other=1))
    blocking.keep("slow")
    assert blocking.moved == {"slow": REASON}
    assert caplog.messages == [f"The view of endpoint 'slow' is kept on threads: {REASON}"]
    assert (await fetch(shop.observer, target=b"/slow")).body == b"done"
    assert not shop.is_on_server


def test_what_has_no_endpoint_is_not_moved(shop: Shop) -> None:
    note(shop, None)
    note(shop, None)
    assert (shop.counted, shop.blocking.moved) == ([], {})


@pytest.mark.parametrize(
    ("error", "is_moved_back"),
    [
        ("Task <> got Future <> attached to a different loop", True),
        ("<asyncio.locks.Event> is bound to a different event loop", True),
        ("Event loop is closed", True),
        ("no luck", False),
    ],
)
async def test_a_view_that_needs_the_loop_of_the_server_is_moved_back_for_good(
    shop: Shop, caplog: pytest.LogCaptureFixture, error: str, *, is_moved_back: bool
) -> None:
    @shop.app.get("/other")
    def other() -> str:
        raise RuntimeError(error)

    async def needing() -> str:
        raise RuntimeError(error)

    shop.app.view_functions["slow"] = needing
    note(shop)
    note(shop)
    await fetch(shop.observer, target=b"/other")
    assert shop.blocking.moved == {"slow": REASON}
    assert (await fetch(shop.observer, target=b"/slow")).status == 500
    assert shop.blocking.moved == ({} if is_moved_back else {"slow": REASON})
    assert any("moved back" in message for message in caplog.messages) is is_moved_back
    note(shop)
    assert ("slow" in shop.blocking.moved) is not is_moved_back
    assert shop.app.extensions["ashapp"].placement.of("slow").on_loop is is_moved_back


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a task does not tell its context before Python 3.12")
async def test_a_task_that_a_view_has_made_is_its_request_s(shop: Shop) -> None:
    found: list[Any] = []

    @shop.app.get("/tasks")
    async def tasks() -> str:
        await asyncio.create_task(look())
        return "done"

    async def look() -> None:
        loop, frame = asyncio.get_running_loop(), sys._getframe()
        thread = threading.Thread(target=lambda: found.append(find_request(frame, loop)))
        thread.start()
        thread.join(PATIENCE)

    await fetch(shop.observer, target=b"/tasks")
    assert [request.endpoint for request in found] == ["tasks"]


async def test_what_is_no_request_s_is_none_s() -> None:
    assert find_request(sys._getframe(), asyncio.get_running_loop()) is None
