# SPDX-License-Identifier: MIT
"""Receivers of signals: where each runs, and in which order."""

from collections.abc import Callable, Iterator
from typing import Any

import blinker
import flask
import pytest
from flask import signals

from ashapp.bridge import FlaskToAsgi
from tests.bridge.flask.functions import (
    Oops,
    add_handler,
    add_view,
    kinds,
    noting,
    of_kind,
    sync_and_async,
    views,
)
from tests.support.asgi import fetch
from tests.support.flask import make_app
from tests.support.journal import Journal

pytestmark = pytest.mark.usefixtures("accelerated")

ALWAYS = [
    *(signals.appcontext_pushed, signals.request_started, signals.request_finished),
    *(signals.request_tearing_down, signals.appcontext_tearing_down, signals.appcontext_popped),
]
IN_VIEWS = [signals.message_flashed, signals.before_render_template, signals.template_rendered]
SIGNALS = {signal.name: signal for signal in [*ALWAYS, *IN_VIEWS, signals.got_request_exception]}


@pytest.fixture
def connect(app: flask.Flask) -> Iterator[Callable[[Any, Any], None]]:
    """A function that connects a receiver to a signal of the application, until the test ends."""
    connected: list[tuple[Any, Any]] = []

    def connect(signal: Any, receiver: Any) -> None:
        signal.connect(receiver, app)
        connected.append((signal, receiver))

    yield connect
    for signal, receiver in connected:
        signal.disconnect(receiver, app)


@kinds
@views
@pytest.mark.parametrize("name", SIGNALS)
async def test_a_receiver_of_a_signal(
    app: flask.Flask, journal: Journal, connect: Any, name: str, view_kind: str, kind: str
) -> None:
    connect(SIGNALS[name], noting(journal, name, kind))
    fails = name == "got-request-exception"
    add_view(app, journal, view_kind, ZeroDivisionError if fails else None)
    client = await fetch(FlaskToAsgi(app))
    assert client.status == (500 if fails else 200)
    assert isinstance(journal[name].value, ZeroDivisionError) if fails else journal[name].value is app
    assert journal[name].on_loop == (kind == "async" or (kind == "nonblocking" and view_kind == "async"))


@sync_and_async
async def test_signals_are_sent_in_the_order_of_flask(
    app: flask.Flask, journal: Journal, connect: Any, kind: str
) -> None:
    for name, signal in SIGNALS.items():
        connect(signal, noting(journal, name, kind))
    add_view(app, journal)
    await fetch(FlaskToAsgi(app))
    before, after = ALWAYS[:2], ALWAYS[2:]
    names = [[signal.name for signal in part] for part in (before, IN_VIEWS, after)]
    assert journal.names == [*names[0], "view", *names[1], *names[2]]


@sync_and_async
@views
async def test_a_signal_of_the_applications_own(app: flask.Flask, kind: str, view_kind: str) -> None:
    """Sent in a view with the wrapper that blinker asks for."""
    signal = blinker.Signal()
    receiver = of_kind(kind, lambda sender: "answer")
    signal.connect(receiver)

    def view() -> list[Any]:
        return [answer for _, answer in signal.send(app, _async_wrapper=app.ensure_sync)]

    app.add_url_rule("/", "view", of_kind(view_kind, view))
    assert (await fetch(FlaskToAsgi(app))).body == b'["answer"]\n'


@sync_and_async
async def test_a_receiver_that_fails_fails_the_request(app: flask.Flask, journal: Journal, kind: str) -> None:
    def fail(sender: Any, **kwargs: Any) -> None:
        raise Oops

    receiver = of_kind(kind, fail)
    add_handler(app, Oops, "sync", journal)
    add_view(app, journal)
    with signals.request_started.connected_to(receiver, app):
        assert (await fetch(FlaskToAsgi(app))).body == b"handled"
    assert (await fetch(FlaskToAsgi(app))).body == b"hello"


async def test_other_senders_and_muted_signals_are_left_out(
    app: flask.Flask, journal: Journal, connect: Any
) -> None:
    connect(signals.request_started, noting(journal, "receiver", "sync"))
    other = make_app()
    for application in (app, other):
        add_view(application, journal)
    await fetch(FlaskToAsgi(other))
    with signals.request_started.muted():
        await fetch(FlaskToAsgi(app))
    assert journal.names == ["view", "view"]


async def test_outside_a_request_signals_are_blinkers(
    app: flask.Flask, journal: Journal, connect: Any
) -> None:
    FlaskToAsgi(app)
    assert signals.template_rendered.send(app) == []
    connect(signals.template_rendered, noting(journal, "sync", "sync"))
    signals.template_rendered.send(app, template="t")
    assert journal["sync"].value is app
    connect(signals.message_flashed, noting(journal, "async", "async"))
    with pytest.raises(RuntimeError, match="coroutine"):
        signals.message_flashed.send(app)
