# SPDX-License-Identifier: MIT
import asyncio
import functools
import sys
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.concurrency.call import Call
from ashapp.bridge.concurrency.greenlet_tasks import run_in_greenlet
from ashapp.bridge.concurrency.greenlets import running_call
from tests.support.asgi import fetch
from tests.support.waiting import PATIENCE


def look_from_outside() -> Call | None:
    """Return what another thread finds for this one, which waits."""
    me, found = threading.get_ident(), []

    def look() -> None:
        found.append(running_call(sys._current_frames()[me]))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(PATIENCE)
    return found[0]


def behind_decorator(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def wrapper() -> Any:
        return flask.current_app.ensure_sync(view)()

    return wrapper


@pytest.mark.parametrize("decorator", [lambda view: view, behind_decorator], ids=["loop", "thread"])
async def test_the_request_whose_coroutine_runs_is_found(decorator: Any) -> None:
    found: list[str] = []

    async def view() -> str:
        for _ in range(2):
            assert threading.current_thread() is threading.main_thread()
            found.append(str(look_from_outside()))
            await asyncio.sleep(0)
        return "done"

    app = flask.Flask(__name__, static_folder=None)
    app.add_url_rule("/slow", "slow", decorator(view))
    assert (await fetch(FlaskToAsgi(app), target=b"/slow")).body == b"done"
    assert found == ["GET /slow"] * 2


async def test_what_belongs_to_no_request_is_of_none() -> None:
    async def coroutine() -> Call | None:
        return look_from_outside()

    context = copy_context()
    assert look_from_outside() is None
    assert await run_in_greenlet(coroutine(), context) is None
    assert running_call(None) is None
