# SPDX-License-Identifier: MIT
"""Each of Flask's signals, sent around and inside async views, to sync and async receivers."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import blinker
import flask
import pytest
from flask import signals

from ashapp.bridge import FlaskToAsgi, nonblocking
from tests.support.asgi import fetch
from tests.support.flask import make_app
from tests.support.journal import Journal

ALWAYS = [
    signals.appcontext_pushed,
    signals.request_started,
    signals.request_finished,
    signals.request_tearing_down,
    signals.appcontext_tearing_down,
    signals.appcontext_popped,
]
IN_VIEWS = [signals.before_render_template, signals.template_rendered, signals.message_flashed]
SIGNALS = {signal.name: signal for signal in [*ALWAYS, *IN_VIEWS, signals.got_request_exception]}

pytestmark = pytest.mark.parametrize("kind", ["sync", "async", "nonblocking"])


@pytest.fixture
def connect(app: flask.Flask, journal: Journal, kind: str) -> Iterator[Callable[[blinker.Signal], None]]:
    """A function that connects a receiver to a signal, until the test ends."""
    connected: list[tuple[blinker.Signal, Any]] = []

    def connect(signal: Any) -> None:
        def receive(sender: Any, **kwargs: Any) -> None:
            journal.note(signal.name, (sender, kwargs))

        async def receive_async(sender: Any, **kwargs: Any) -> None:
            await asyncio.sleep(0)
            receive(sender, **kwargs)

        receiver = receive_async if kind == "async" else nonblocking(receive) if kind[0] == "n" else receive
        signal.connect(receiver, app)
        connected.append((signal, receiver))

    yield connect
    for signal, receiver in connected:
        signal.disconnect(receiver, app)


def add_view(app: flask.Flask, journal: Journal) -> None:
    @app.get("/")
    async def view() -> str:
        journal.note("view")
        await asyncio.sleep(0)
        if "fail" in flask.request.args:
            raise ZeroDivisionError
        flask.flash("flashed")
        return flask.render_template_string("hello")


@pytest.mark.parametrize("name", SIGNALS)
async def test_its_receiver_is_called_once(
    app: flask.Flask, journal: Journal, kind: str, connect: Callable[..., None], name: str
) -> None:
    add_view(app, journal)
    connect(SIGNALS[name])
    fails = name == "got-request-exception"

    client = await fetch(FlaskToAsgi(app), target=b"/?fail=1" if fails else b"/")

    assert client.status == (500 if fails else 200)
    entry = journal[name]
    assert entry.value[0] is app
    assert entry.on_loop == (kind != "sync")


async def test_they_come_in_the_order_of_flask(
    app: flask.Flask, journal: Journal, kind: str, connect: Callable[..., None]
) -> None:
    add_view(app, journal)
    for signal in SIGNALS.values():
        connect(signal)
    bridge = FlaskToAsgi(app)

    await fetch(bridge)
    assert journal.names == [
        "appcontext-pushed",
        "request-started",
        "view",
        "message-flashed",
        "before-render-template",
        "template-rendered",
        "request-finished",
        "request-tearing-down",
        "appcontext-tearing-down",
        "appcontext-popped",
    ]
    assert len(journal.threads) == (kind == "sync")

    journal.clear()
    await fetch(bridge, target=b"/?fail=1")
    assert journal.names[2:5] == ["view", "got-request-exception", "request-finished"]
    assert isinstance(journal["got-request-exception"].value[1]["exception"], ZeroDivisionError)


async def test_what_receivers_return_is_collected(app: flask.Flask, kind: str) -> None:
    """A signal of the application's own, sent in a view with the wrapper that blinker asks for."""
    signal = blinker.Signal()

    def receive(sender: Any) -> str:
        return "answer"

    async def receive_async(sender: Any) -> str:
        await asyncio.sleep(0)
        return "answer"

    receiver = receive_async if kind == "async" else receive
    signal.connect(receiver)

    @app.get("/")
    async def view() -> list[Any]:
        sent = signal.send(app, _async_wrapper=app.ensure_sync)
        return [answer for _, answer in sent]

    assert (await fetch(FlaskToAsgi(app))).body == b'["answer"]\n'


async def test_a_receiver_that_fails_fails_the_request(app: flask.Flask, kind: str) -> None:
    def receive(sender: Any, **kwargs: Any) -> None:
        raise LookupError

    async def receive_async(sender: Any, **kwargs: Any) -> None:
        receive(sender)

    receiver = receive_async if kind == "async" else receive
    app.register_error_handler(LookupError, lambda error: "handled")

    @app.get("/")
    async def view() -> str:
        return "hello"

    with signals.request_started.connected_to(receiver, app):
        assert (await fetch(FlaskToAsgi(app))).body == b"handled"
    assert (await fetch(FlaskToAsgi(app))).body == b"hello"


async def test_other_senders_and_muted_signals_are_left_out(
    app: flask.Flask, journal: Journal, connect: Callable[..., None]
) -> None:
    add_view(app, journal)
    connect(signals.request_started)
    other = make_app()
    add_view(other, journal)

    await fetch(FlaskToAsgi(other))
    with signals.request_started.muted():
        await fetch(FlaskToAsgi(app))

    assert journal.names == ["view", "view"]


async def test_a_signal_without_receivers_is_told_to_nobody(app: flask.Flask, kind: str) -> None:
    FlaskToAsgi(app)

    assert signals.template_rendered.send(app) == []


async def test_outside_a_request_it_is_blinkers(
    app: flask.Flask, journal: Journal, kind: str, connect: Callable[..., None]
) -> None:
    FlaskToAsgi(app)
    connect(signals.template_rendered)

    if kind == "async":
        with pytest.raises(RuntimeError, match="coroutine"):
            signals.template_rendered.send(app)
    else:
        signals.template_rendered.send(app, template="t")
        assert journal["template-rendered"].value == (app, {"template": "t"})
