# SPDX-License-Identifier: MIT
"""Makes the ASGI application of a worker: it is found, hardened, bridged, and gets its front.

This is done in a process that serves, and in no other: see ``ashapp.server.serving.process``.
"""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from flask import Flask, got_request_exception

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi, nonblocking
from ashapp.observe.observation import ManySink, Sink, current
from ashapp.server.assembly import gevent_patches
from ashapp.server.assembly.log_config import access_logs, hold_to_rules, keep_loggers
from ashapp.server.assembly.monitors import watch
from ashapp.server.assembly.placement import place_views
from ashapp.server.discovery.targets import find_application, find_mounted, is_asgi
from ashapp.server.health.state import Condition, Health, Phase
from ashapp.server.introspection.routes import flask_application
from ashapp.server.middleware.allowed_hosts import AllowedHosts
from ashapp.server.middleware.front import Front
from ashapp.server.operating_system.resources import give_back_freed
from ashapp.server.proxies.scopes import Proxies
from ashapp.server.proxies.trusted import TrustedProxies
from ashapp.server.security.hardening import forbid_debug_variable, harden
from ashapp.server.settings.loading import misspelt_variables
from ashapp.server.settings.model import Settings
from ashapp.server.telemetry import if_asked_for
from ashapp.server.worker_status.workers import Workers

if TYPE_CHECKING:
    from ashapp.bridge.messages.types import AsgiApplication, WsgiApplication
    from ashapp.server.middleware.debugger import Debugger

__all__ = ["Application", "assemble", "load"]


class Application(NamedTuple):
    """The application of a target, those that are mounted beside it, and warnings for its owner."""

    found: object
    warnings: list[str]
    mounted: dict[str, object]
    #: Shows a developer the errors of the application.
    debugger: "Debugger | None" = None


def load(settings: Settings) -> Application:
    """Find the application of the settings and harden it.

    Raises `StartupError` if it can't be found or may not be served.
    """
    warnings = misspelt_variables()
    if settings.debug:
        from ashapp.server.middleware.debugger import Debugger, find_or_explain  # noqa: PLC0415 - for those who use it

        debugger = Debugger()
        found = find_or_explain(settings.app)
    else:
        debugger = None
        warnings = forbid_debug_variable() + warnings
        found = find_application(settings.app)
    keep_loggers()
    gevent_patches.forbid_replaced_threads(settings.app)
    if gevent_patches.are_limited():
        warnings.append(
            f"{settings.app} calls gevent.monkey.patch_all(), which leaves threads alone here: views run on "
            "real ones, and greenlets beside them where the loop is asyncio's, which is the default now"
        )
    if isinstance(found, WsgiToAsgi) and "threads" in settings.given:
        warnings.append(f"threads has no effect: {settings.app} has been bridged by its own code")
    place_views(found, settings)
    mounted = {prefix: find_mounted(target) for prefix, target in (settings.mount or {}).items()}
    warnings += harden(found, settings, mounted.values())
    if debugger is not None:
        found = debugger.around(found, flask_application(found))
    return Application(found, warnings, mounted, debugger)


def assemble(
    found: object,
    settings: Settings,
    health: Health | None = None,
    workers: Workers | None = None,
    mounted: Mapping[str, object] = MappingProxyType({}),
) -> Front:
    """Return the ASGI application that serves what was found, and that reports the *health* of its server.

    If there are *workers*, requests are counted for the management port. *mounted* has other applications by
    the prefixes of their paths.
    """
    health = health or Health()
    if settings.lifespan == "off":
        health.phase = Phase.RUNNING
    bridge = _bridged(found, settings)
    bridges = {
        id(each): cast("AsgiApplication", each) if is_asgi(each) else _bridged(each, settings)
        for each in mounted.values()
    }
    bridge.mounts.add({prefix: bridges[id(each)] for prefix, each in mounted.items()})
    sinks = _sinks(bridge, settings)
    watch(bridge, health, settings, workers, sinks)
    app: AsgiApplication = bridge
    if settings.faults and workers is not None:
        app = _with_faults(bridge, health, workers)
    trusted = TrustedProxies(settings.forwarded_allow_ips)
    return Front(
        app,
        health,
        _probes(health, settings) if settings.probes else {},
        proxies=Proxies(trusted, settings.forwarded_headers) if settings.proxy_headers else None,
        hosts=None if "*" in settings.allowed_hosts else AllowedHosts(settings.allowed_hosts),
        sinks=sinks,
    )


def _probes(health: Health, settings: Settings) -> dict[str, Condition]:
    """Return the checks of the probes, by their paths."""
    checks = {
        settings.livez_path: health.liveness,
        settings.healthz_path: health.liveness,
        settings.readyz_path: health.readiness,
    }
    return {path: check for path, check in checks.items() if path}


def _with_faults(bridge: WsgiToAsgi, health: Health, workers: Workers) -> "AsgiApplication":
    """Return *bridge* with fault injection."""
    from ashapp.server.fault_injection.injector import Injector  # noqa: PLC0415 - for those who use it

    injector = Injector(bridge, workers.registry)
    health.conditions.insert(0, injector.unready)
    health.monitors.insert(0, injector)
    health.take_faults = injector.take
    board = workers.faults
    if board is not None:  # the management port is served by this process
        board.changed = lambda: injector.take(board.orders(os.getpid()))
    return injector


def _bridged(found: object, settings: Settings) -> WsgiToAsgi:
    """Return *found* as an ASGI application. A bridge that its own code has made keeps its limits."""
    options: dict[str, Any] = {
        "threads": settings.threads,
        "websocket_threads": settings.websocket_threads,
        "multiprocess": settings.worker_count > 1,
        "task_grace": settings.task_grace,
        "read_ahead": settings.read_ahead,
        **settings.bridge_limits(settings.threads),
    }
    if isinstance(found, WsgiToAsgi):
        bridge = found
        _limit(bridge, settings.bridge_limits(bridge.threads.size))
    elif isinstance(found, Flask):
        async_threads = settings.async_threads if settings.threads > 1 else 1
        bridge = FlaskToAsgi(found, async_threads=async_threads, **options)
    else:
        bridge = WsgiToAsgi(cast("WsgiApplication", found), **options)
    # The workers share the memory that there is for bodies.
    bridge.intake.budget.processes = settings.worker_count
    if bridge.intake.budget.memory.limit is not None:
        give_back_freed()
    return bridge


def _limit(bridge: WsgiToAsgi, limits: dict[str, Any]) -> None:
    """Set the *limits* of *bridge*, by its keywords, except those that it was given when it was made."""
    for owner, name, keyword in (
        (bridge.admission, "limit_in_flight", "limit_in_flight"),
        (bridge.admission, "limit_queue", "limit_queue"),
        (bridge.websockets, "limit", "limit_websockets"),
        (bridge, "limit_body", "limit_body"),
        (bridge.intake.budget, "limit", "limit_buffered"),
        (bridge.service, "request_timeout", "request_timeout"),
    ):
        if getattr(owner, name) is None:
            setattr(owner, name, limits[keyword])


def _sinks(bridge: WsgiToAsgi, settings: Settings) -> list[Sink | ManySink]:
    """Return the sinks for requests that have ended: traces and the access log."""
    hold_to_rules(settings)
    sinks = access_logs(settings)
    logs = if_asked_for("LOGS", os.environ, "ashapp.observe.logs.otlp:LogsExport")
    if logs is not None:
        logs.attach()
        bridge.lifespan.on_shutdown.insert(0, logs.finish)
        if sinks:  # there is an access log
            sinks.append(logs)
    maker, query = "ashapp.observe.tracing:make_tracer", settings.access_log_query
    tracer = if_asked_for("TRACES", os.environ, maker, query=query)
    if tracer is not None:
        sinks.insert(0, tracer)
        bridge.lifespan.on_shutdown.insert(0, tracer.flush)  # the first is called last
    if isinstance(bridge.wsgi_application, Flask):
        got_request_exception.connect(_note_error, bridge.wsgi_application)
    return sinks


@nonblocking
def _note_error(_app: Flask, exception: BaseException, **_: Any) -> None:
    """Note the exception of a request that Flask answers with 500: it does not leave the application."""
    observation = current.get()
    if observation is not None and not observation.ended:
        observation.error = exception
