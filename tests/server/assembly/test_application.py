# SPDX-License-Identifier: MIT
import math
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app, got_request_exception, has_app_context

from ashapp import create_app, readiness_check
from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.observe.observation import Observation, current
from ashapp.server.assembly.application import assemble, load
from ashapp.server.errors import StartupError
from ashapp.server.health.state import Health, Phase
from ashapp.server.settings.loading import load as load_settings
from ashapp.server.settings.model import Settings
from ashapp.server.worker_status.workers import LocalWorker
from tests.support.asgi import fetch
from tests.support.waiting import eventually

Project = Callable[..., Path]

KEY = "9f2c6d0b1e7a4538"


def settings(**flags: Any) -> Settings:
    return load_settings({"app": "shop", **flags})


def bridge_in(app: Any) -> WsgiToAsgi:
    """Return the bridge below all layers."""
    while not isinstance(app, WsgiToAsgi):
        app = app._app
    return app


def flask_module(*lines: str, key: str | None = KEY) -> str:
    return "\n".join(["from flask import Flask", "app = Flask('shop')", f"app.secret_key = {key!r}", *lines])


def test_the_reference_api_needs_no_key_but_may_be_given_no_weak_one() -> None:
    assert load(load_settings({})).warnings == []
    with pytest.raises(StartupError, match="is weak"):
        load(load_settings({"secret_key": "dev"}))


def test_every_warning_is_told_in_turn(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    project(shop=flask_module("app.debug = app.testing = True", key=None))
    warnings = load(settings()).warnings
    words = ["FLASK_DEBUG is set", "shop sets debug", "shop sets TESTING", "shop has no SECRET_KEY"]
    assert [warning[: len(start)] for warning, start in zip(warnings, words, strict=True)] == words
    assert sys.modules["shop"].app.debug is False


def test_an_application_that_is_bridged_is_hardened_too(project: Project) -> None:
    project(
        shop=flask_module(
            "from ashapp import FlaskToAsgi", "app.debug = True", "app = FlaskToAsgi(app, threads=2)"
        )
    )
    application = load(settings(threads="8"))
    assert application.warnings == [
        "threads has no effect: shop has been bridged by its own code",
        "shop sets debug, but 'serve' never runs in debug mode: it is off",
    ]
    assert bridge_in(assemble(application.found, settings())) is application.found


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


def options(bridge: WsgiToAsgi) -> dict[str, Any]:
    """Return the options of *bridge* that settings of the service may have set."""
    admission, budget = bridge.admission, bridge.intake.budget
    return {
        "threads": bridge.threads.size,
        "async_threads": getattr(getattr(bridge, "request_threads", None), "size", None),
        "task_grace": bridge.service.grace,
        "multiprocess": bridge._template("", None, None, "1.1")["wsgi.multiprocess"],
        "limit_in_flight": admission.limit_in_flight,
        "limit_queue": admission.limit_queue,
        "limit_websockets": bridge.websockets.limit,
        "websocket_threads": bridge.websockets.pool.size,
        "limit_body": bridge.limit_body,
        "limit_buffered": budget.limit,
        "request_timeout": bridge.service.request_timeout,
        "timeout_thread": admission.timeout_thread,
        "processes": budget.processes,
    }


DEFAULTS: dict[str, Any] = {
    "threads": 40,
    "async_threads": None,
    "task_grace": 4.0,
    "multiprocess": False,
    "limit_in_flight": 20_000,
    "limit_queue": 1000,
    "limit_websockets": 20_000,
    "websocket_threads": 1000,
    "limit_body": 16 << 30,
    "limit_buffered": None,
    "request_timeout": None,
    "timeout_thread": 60,
    "processes": 1,
}
OWN = {"task_grace": 5.0}
TWO = {"processes": 2, "multiprocess": True}
EACH: dict[str, Any] = {
    "limit_in_flight": 1,
    "limit_queue": 2,
    "limit_websockets": 5,
    "limit_body": 3,
    "request_timeout": 4,
    "limit_buffered": 7,
}


@pytest.mark.parametrize(
    ("app", "flags", "changed"),
    [
        (wsgi, {}, {}),
        (Flask("shop"), {}, {"async_threads": 1000}),
        (Flask("shop"), {"async_threads": "7"}, {"async_threads": 7}),
        (
            Flask("shop"),
            {"threads": "1"},
            {"threads": 1, "async_threads": 1, "websocket_threads": 1, "limit_queue": 25},
        ),
        (wsgi, {"websocket_threads": "8"}, {"websocket_threads": 8}),
        (wsgi, {"threads": "3", "workers": "2"}, {"threads": 3, "limit_queue": 75, **TWO}),
        (wsgi, {"workers": "2", "reload": "true"}, {}),
        (wsgi, {"timeout_lifespan_shutdown": "10"}, {"task_grace": 8.0}),
        (wsgi, {"limit_body": "0", "timeout_thread": "0"}, {"limit_body": None, "timeout_thread": math.inf}),
        (wsgi, {name: str(value) for name, value in EACH.items()}, EACH),
        (WsgiToAsgi(wsgi, threads=2), {"threads": "5"}, {"threads": 2, "limit_queue": 50, **OWN}),
        (WsgiToAsgi(wsgi), {"limit_queue": "8"}, {"limit_queue": 8, **OWN}),
        (WsgiToAsgi(wsgi, **EACH), {name: str(value + 5) for name, value in EACH.items()}, {**EACH, **OWN}),
    ],
)
def test_the_bridge_has_the_options_of_the_settings_unless_the_application_sets_its_own(
    app: Any, flags: dict[str, str], changed: dict[str, Any]
) -> None:
    assert options(bridge_in(assemble(app, settings(**flags)))) == {**DEFAULTS, **changed}


@pytest.mark.parametrize("limit", [None, 160 << 20])
def test_memory_is_given_back_where_there_is_a_limit(
    limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr("ashapp.server.assembly.application.give_back_freed", lambda: calls.append(1))
    monkeypatch.setattr("ashapp.bridge.admission.free_memory.Memory.limit", limit)
    assemble(WsgiToAsgi(wsgi), settings())
    assert bool(calls) == (limit is not None)


def test_a_worker_that_is_saturated_is_not_ready() -> None:
    bridge = WsgiToAsgi(wsgi, limit_in_flight=2)
    health = Health(Phase.RUNNING)
    assemble(bridge, settings(lifespan="off"), health)
    assert health.readiness() is None
    bridge.admission.in_flight = 2
    assert health.readiness() == "saturated: 2 requests in flight"
    assert health.liveness() is None


@pytest.mark.parametrize(
    ("flags", "statuses"),
    [
        ({}, (200, 503, 200, 404)),
        ({"lifespan": "off"}, (200, 200, 200, 404)),
        ({"probes": False}, (404, 404, 404, 404)),
        ({"healthz_path": "off"}, (200, 503, 404, 404)),
        ({"livez_path": "/alive"}, (404, 503, 200, 200)),
    ],
)
async def test_probes_are_where_the_settings_say(flags: dict[str, Any], statuses: tuple[int, ...]) -> None:
    app = assemble(Flask("shop"), settings(**flags))
    paths = (b"/livez", b"/readyz", b"/healthz", b"/alive")
    assert tuple([(await fetch(app, "GET", path)).status for path in paths]) == statuses


@asynccontextmanager
async def monitored(health: Health) -> AsyncIterator[None]:
    """Run what watches a worker, as its server does."""
    for monitor in health.monitors:
        await monitor.start()
    try:
        yield
    finally:
        for monitor in health.monitors:
            await monitor.stop()


def has_guards(count: int) -> bool:
    return [thread.name for thread in threading.enumerate()].count("ashapp-loop-monitor") == count


@pytest.mark.parametrize(
    ("flags", "count"),
    [
        ({}, 1),
        ({"loop_guard": "0.2", "lifespan": "off"}, 1),
        ({"environment": "development"}, 1),
        ({"environment": "development", "loop_guard": "0"}, 0),
    ],
)
async def test_the_loop_is_guarded_while_the_application_is_served(flags: dict[str, str], count: int) -> None:
    health = Health()
    assemble(WsgiToAsgi(wsgi), settings(**flags), health)
    async with monitored(health):
        await eventually(partial(has_guards, count))
    await eventually(partial(has_guards, 0))


def test_the_drain_and_readiness_know_each_mount() -> None:
    """Also of mounts of a mount, and of what another framework has mounted."""

    class Framework:
        def __init__(self, *routes: WsgiToAsgi) -> None:
            self.routes = list(routes)

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    bridges = [FlaskToAsgi(Flask(name)) for name in ("deep", "within")]
    bridges.append(FlaskToAsgi(Flask("mounted"), mounts={"/deep": bridges[0]}))
    bridges.append(
        FlaskToAsgi(Flask("shop"), mounts={"/mounted": bridges[2], "/framework": Framework(bridges[1])})
    )
    health = Health()
    assemble(bridges[-1], settings(), health)
    assert len(health.drains) == len(bridges)
    assert all(bridge.departures.drain in health.drains for bridge in bridges)
    health.phase = Phase.RUNNING
    for bridge in bridges:
        assert (health.readiness(), bridge.admission.timeout_thread) == (None, 60)
        bridge.admission.limit_in_flight = bridge.admission.in_flight = 1
        assert health.readiness() == "saturated: 1 requests in flight"
        bridge.admission.in_flight = 0


async def test_a_view_that_blocks_the_loop_is_counted_and_told_of() -> None:
    app, health, workers = Flask("shop"), Health(Phase.RUNNING), LocalWorker()

    @app.get("/")
    async def slow() -> str:
        time.sleep(0.3)  # noqa: ASYNC251 - on purpose
        return "done"

    assembled = assemble(app, settings(loop_guard="0.01", limit_blocking="0.05"), health, workers)
    async with monitored(health):
        for _ in range(2):
            await fetch(assembled)
        (status,) = workers.statuses()
        assert list(status.moved_views) == ["slow"]
    labels = {"ashapp_endpoint": "slow"}
    assert workers.registry.get_sample_value("ashapp_event_loop_blocks_total", labels) == 2


@pytest.mark.usefixtures("no_checks")
@pytest.mark.parametrize("is_flask", [True, False])
async def test_readiness_checks_run_in_the_context_of_a_flask_application(*, is_flask: bool) -> None:
    found: list[str | None] = []

    @readiness_check("database")
    def database() -> None:
        found.append(current_app.name if has_app_context() else None)
        raise OSError

    app = Flask("shop")
    health = Health(Phase.RUNNING)
    assemble(app if is_flask else app.wsgi_app, settings(), health)
    assert health.readiness() is None
    async with monitored(health):
        assert found == ["shop" if is_flask else None]
        assert health.readiness() == "readiness checks failed: database"


async def test_requests_are_counted_for_the_management_port_but_probes_are_not() -> None:
    workers = LocalWorker()
    health = Health(Phase.RUNNING)
    app = assemble(Flask("shop"), settings(), health, workers)
    for path in (b"/livez", b"/readyz", b"/nosuch", b"/nosuch"):
        await fetch(app, "GET", path)
    samples = [sample for metric in workers.registry.collect() for sample in metric.samples]
    counts = [each for each in samples if each.name == "http_server_request_duration_seconds_count"]
    assert [(each.labels["http_response_status_code"], each.value) for each in counts] == [("404", 2)]
    async with monitored(health):
        (status,) = workers.statuses()
        assert (status.reason, status.load["active_requests"], status.load["threads"]) == (None, 0, 40)
    assert workers.statuses() == []


@pytest.mark.parametrize("is_on", [True, False])
async def test_the_page_of_the_reference_api_is_fed_unless_it_is_off(*, is_on: bool) -> None:
    workers, health, app = LocalWorker(), Health(Phase.RUNNING), create_app()
    assembled = assemble(app, settings(live_page=is_on), health, workers)
    await fetch(assembled, "GET", b"/status/418")
    async with monitored(health):
        answer = await fetch(assembled, "GET", b"/", headers=[(b"accept", b"text/html")])
        (status,) = workers.statuses()
    assert (b"<!doctype html>" in answer.body, b"/status/&lt;code&gt;" in answer.body) == (is_on, is_on)
    assert [counted[:3] for counted in status.requests] == [("/status/<code>", "thread", 1)] * is_on
    assert [(each.route, each.status) for each in status.errors] == [("/status/<code>", 418)] * is_on


@pytest.mark.parametrize(
    ("path", "error"), [(b"/sync", LookupError), (b"/async", LookupError), (b"/handled", None)]
)
async def test_what_flask_answers_itself_is_noted_with_the_request(
    monkeypatch: pytest.MonkeyPatch, path: bytes, error: type[Exception] | None
) -> None:
    app = Flask("shop")

    @app.get("/sync")
    def fail() -> str:
        raise LookupError("no such item")

    @app.get("/async")
    async def fail_later() -> str:
        raise LookupError("no such item")

    @app.get("/handled")
    def fail_as_expected() -> str:
        raise KeyError("known")

    app.register_error_handler(KeyError, lambda error: ("handled", 409))
    ended: list[Observation] = []
    errors: list[type] = []

    def note(observation: Observation) -> None:
        ended.append(observation)
        errors.append(type(observation.error))

    monkeypatch.setattr("ashapp.server.assembly.application.access_logs", lambda _: [note])
    client = await fetch(assemble(app, settings()), "GET", path)
    assert client.status == (500 if error else 409)
    assert errors == [error or type(None)]
    # An error outside of a request, or after it, is none of it.
    got_request_exception.send(app, exception=OSError())
    current.set(ended[0])
    got_request_exception.send(app, exception=OSError())
    assert ended[0].error is None
