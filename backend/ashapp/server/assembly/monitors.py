# SPDX-License-Identifier: MIT
"""Sets up what watches a worker: the monitor of its loop, readiness checks, its status; and its jobs."""

import math
from contextlib import nullcontext
from functools import partial
from typing import cast

from flask import Flask

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.websocket.libraries.polls import count_polls
from ashapp.observe.observation import ManySink, Sink
from ashapp.server.health.blocking_views import BlockingViews, find_request
from ashapp.server.health.loop_monitor import LoopMonitor
from ashapp.server.health.readiness_runner import Checker
from ashapp.server.health.state import Health
from ashapp.server.introspection.routes import flask_application
from ashapp.server.jobs.runner import JobRunner
from ashapp.server.jobs.turns import Turns
from ashapp.server.security.layers import layers
from ashapp.server.security.redaction import redact
from ashapp.server.settings.model import Settings
from ashapp.server.worker_status.live_figures import live_figures
from ashapp.server.worker_status.reporter import StatusReporter
from ashapp.server.worker_status.workers import Workers

__all__ = ["watch"]


def watch(
    bridge: WsgiToAsgi,
    health: Health,
    settings: Settings,
    workers: Workers | None,
    sinks: list[Sink | ManySink],
) -> None:
    """Add the monitors of the worker to its *health*, and to *sinks* what counts requests for *workers*."""
    app = flask_application(bridge)
    # A check that asks a database needs the context of its application.
    make_context = nullcontext if app is None else app.app_context
    clean = str if settings.readiness_full_errors else redact
    checker = Checker(settings.readiness_interval, make_context, clean=clean)
    # A mount may have mounts of its own, as those of Starlette are.
    parts = layers(bridge) if bridge.mounts else [bridge]
    for each in (cast("WsgiToAsgi", part) for part in parts if issubclass(type(part), WsgiToAsgi)):
        each.admission.timeout_thread = settings.timeout_thread or math.inf
        health.drains.append(each.departures.drain)
        health.conditions.append(each.admission.saturation)
    health.conditions.append(checker.failure)
    blocking = _blocking_views(bridge, app, health, settings)
    reporter = None
    if workers is not None:
        reporter = _reporter(bridge, app, health, workers, checker, blocking)
        sinks.append(reporter.metrics)
    if app is not None and "ashapp.live" in app.extensions:
        _show(app, settings, workers, reporter)
    monitor = _loop_monitor(health, settings, reporter, blocking)
    jobs = JobRunner(Turns(health.turns), make_context, settings.timeout_lifespan_shutdown / 2)
    health.monitors += [monitor, checker, *([] if reporter is None else [reporter]), jobs]


def _loop_monitor(
    health: Health, settings: Settings, reporter: StatusReporter | None, blocking: BlockingViews | None
) -> LoopMonitor:
    return LoopMonitor(
        health.beats,
        threshold=settings.loop_guard,
        timeout=settings.stall_timeout,
        on_beat=None if reporter is None else reporter.beat,
        find=find_request,
        note=None if blocking is None else blocking.note,
        limit=settings.limit_blocking,
    )


def _blocking_views(
    bridge: WsgiToAsgi, app: Flask | None, health: Health, settings: Settings
) -> BlockingViews | None:
    """Return what moves views that block the loop; None where the bridge knows no views."""
    if app is None or not isinstance(bridge, FlaskToAsgi):
        return None
    blocking = BlockingViews(app, settings.limit_blocking, health.blocks, health.block_listeners)
    health.keep_off = blocking.keep
    return blocking


def _reporter(  # noqa: PLR0913, PLR0917 - all that it tells of
    bridge: WsgiToAsgi,
    app: Flask | None,
    health: Health,
    workers: Workers,
    checker: Checker,
    blocking: BlockingViews | None,
) -> StatusReporter:
    """Return what tells *workers* how this worker is."""
    reporter = StatusReporter(workers, health, bridge, checker.outcomes.values)
    reporter.polls = None if app is None else count_polls(app)
    if blocking is not None:
        health.block_listeners.append(reporter.metrics.note_block)
        reporter.moved = blocking.moved
    return reporter


def _show(app: Flask, settings: Settings, workers: Workers | None, reporter: StatusReporter | None) -> None:
    """Give the figures of *workers*, if any, to the page of *app*, the reference API, unless that is off."""
    if not settings.live_page:
        app.config["LIVE_PAGE"] = False
    if app.config["LIVE_PAGE"] and workers is not None and reporter is not None:
        app.extensions["ashapp.live"].look = partial(live_figures, workers)
        reporter.tells_requests = True
