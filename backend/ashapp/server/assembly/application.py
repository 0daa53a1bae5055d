# SPDX-License-Identifier: MIT
"""Make the ASGI application of a worker: found, hardened, bridged, with its probes in front."""

import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from flask.app import Flask

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.messages.errors import send_problem
from ashapp.bridge.messages.types import AsgiApplication, Send
from ashapp.observe.observation import Sink
from ashapp.observe.observer import Observer
from ashapp.server.assembly import gevent_patches
from ashapp.server.assembly.blocking import BlockingViews, find_request
from ashapp.server.assembly.discovery import BRIDGED, find_application
from ashapp.server.assembly.flask_errors import note_errors_of
from ashapp.server.assembly.hardening import (
    forbid_debug,
    forbid_debug_variable,
    forbid_debugger,
    require_strong_key,
)
from ashapp.server.assembly.layers import layers
from ashapp.server.assembly.log_config import access_logs, hold_to_rules, keep_loggers
from ashapp.server.assembly.redaction import redact
from ashapp.server.assembly.traces import make_tracer
from ashapp.server.health.loop_monitor import LoopMonitor
from ashapp.server.health.readiness_runner import Checker
from ashapp.server.health.state import Health, Monitor, Phase
from ashapp.server.inspection.routes import place_async_views
from ashapp.server.management.status_reporter import StatusReporter
from ashapp.server.management.workers import Workers
from ashapp.server.middleware.allowed_hosts import AllowedHosts
from ashapp.server.middleware.probes import Probes
from ashapp.server.middleware.proxies import Proxies
from ashapp.server.settings import REFERENCE_API, Settings
from ashapp.server.settings.loading import misspelt_variables
from ashapp.server.settings.trusted_proxies import TrustedProxies
from ashapp.server.system.resources import give_back_freed

if TYPE_CHECKING:
    from ashapp.bridge.messages.types import WsgiApplication

__all__ = ["Application", "assemble", "load"]

# At once: another instance may be there already (RFC 9110, 10.2.3).
_RETRY = ((b"retry-after", b"1"),)


@dataclass(frozen=True)
class Application:
    """What a target named, and the warnings that its owner should read.

    *has_greenlets* says whether gevent would have replaced threads.
    """

    found: object
    warnings: list[str]
    has_greenlets: bool = False

    @property
    def bridged(self) -> bool:
        """Whether its own code has made it an ASGI application, with threads of its own choice."""
        return isinstance(self.found, BRIDGED)


def load(settings: Settings) -> Application:
    """Find the application of the settings and harden it.

    Raises `StartupError` if it can't be found or may not be served.
    """
    warnings = forbid_debug_variable() + misspelt_variables()
    found = find_application(settings.app)
    keep_loggers()
    gevent_patches.forbid_replaced_threads(settings.app)
    has_greenlets = gevent_patches.are_limited()
    if has_greenlets:
        warnings.append(
            f"{settings.app} calls gevent.monkey.patch_all(), which leaves threads alone here: views run on "
            "real ones, and greenlets beside them where the loop is asyncio's, which is the default now"
        )
    if isinstance(found, BRIDGED) and "threads" in settings.model_fields_set:
        warnings.append(f"threads has no effect: {settings.app} has been bridged by its own code")
    flask_app = found if isinstance(found, Flask) else getattr(found, "wsgi_application", None)
    if isinstance(flask_app, Flask):
        place_async_views(flask_app, settings)
    return Application(found, warnings + _harden(found, settings), has_greenlets=has_greenlets)


def assemble(
    found: object, settings: Settings, health: Health | None = None, workers: Workers | None = None
) -> Probes:
    """Return the ASGI application that serves what was found, and that reports the *health* of its server.

    Where there are *workers*, for the management port, requests are counted for it.
    """
    health = health or Health()
    if settings.lifespan == "off":
        health.phase = Phase.RUNNING
    checks = {
        settings.livez_path: health.liveness,
        settings.healthz_path: health.liveness,
        settings.readyz_path: health.readiness,
    }
    offered = {path: check for path, check in checks.items() if path and settings.probes}
    bridge = _bridged(found, settings)
    bridge.admission.stuck_after = settings.timeout_thread or math.inf
    _share_memory(bridge, settings)
    health.conditions.append(bridge.admission.saturation)
    sinks = _sinks(bridge, settings)
    checker = _check_readiness(health, bridge, settings)
    blocking = _blocking_views(health, bridge, settings)
    monitors: list[Monitor] = [checker]
    on_beat: Callable[[float], object] | None = None
    if workers is not None:
        reporter = _reporter(workers, health, bridge, checker, blocking)
        sinks.append(reporter.metrics)
        monitors.append(reporter)
        on_beat = reporter.beat
    health.monitors += [_loop_monitor(health, blocking, settings, on_beat), *monitors]
    observer = Observer(_behind_proxies(bridge, settings), sinks, answer_cancelled=_answer_cancelled)
    return Probes(observer, health, offered)


def _harden(found: object, settings: Settings) -> list[str]:
    """Harden what is to be served, with all that is wrapped or mounted in it."""
    parts = list(layers(found))
    forbid_debugger(parts, settings.app)
    apps = [part for part in parts if isinstance(part, Flask)]
    warnings: list[str] = []
    for app in apps:
        label = settings.app if app is apps[0] else f"{app.name!r} within {settings.app}"
        warnings += forbid_debug(app, label)
        # The operator's key is for one application; the reference API has no use for sessions.
        given = settings.secret_key if app is apps[0] else None
        if app.secret_key or given or (app is apps[0] and settings.app != REFERENCE_API):
            key = given.get_secret_value() if given else None
            production = settings.environment == "production"
            warnings += require_strong_key(app, label, key, production=production)
    return warnings


def _sinks(bridge: WsgiToAsgi, settings: Settings) -> list[Sink]:
    hold_to_rules(settings)
    sinks = access_logs(settings)
    tracer = make_tracer(os.environ, query=settings.access_log_query)
    if tracer is not None:
        sinks.insert(0, tracer)
        bridge.lifespan.on_shutdown.insert(0, tracer.flush)  # the first is called last
    if isinstance(bridge.wsgi_application, Flask):
        note_errors_of(bridge.wsgi_application)
    return sinks


def _check_readiness(health: Health, bridge: WsgiToAsgi, settings: Settings) -> Checker:
    app = bridge.wsgi_application
    # What asks a database is written for the context of its application.
    checker = Checker(
        settings.readiness_interval,
        app.app_context if isinstance(app, Flask) else nullcontext,
        clean=str if settings.readiness_full_errors else redact,
    )
    health.conditions.append(checker.failure)
    return checker


def _blocking_views(health: Health, bridge: WsgiToAsgi, settings: Settings) -> BlockingViews | None:
    app = bridge.wsgi_application
    if not (isinstance(app, Flask) and isinstance(bridge, FlaskToAsgi)):
        return None
    blocking = BlockingViews(app, settings.limit_blocking, health.blocks, health.block_listeners)
    health.keep_off = blocking.keep
    return blocking


def _loop_monitor(
    health: Health,
    blocking: BlockingViews | None,
    settings: Settings,
    on_beat: Callable[[float], object] | None,
) -> LoopMonitor:
    return LoopMonitor(
        health.beats,
        threshold=settings.loop_guard,
        timeout=settings.stall_timeout,
        on_beat=on_beat,
        find=find_request,
        note=None if blocking is None else blocking.note,
        limit=settings.limit_blocking,
    )


def _reporter(
    workers: Workers,
    health: Health,
    bridge: WsgiToAsgi,
    checker: Checker,
    blocking: BlockingViews | None,
) -> StatusReporter:
    threads = getattr(bridge, "request_threads", None)
    outcomes = checker.outcomes.values
    reporter = StatusReporter(workers, health, bridge.threads, outcomes, threads)
    if blocking is not None:
        health.block_listeners.append(reporter.metrics.note_block)
        reporter.moved = blocking.moved
    return reporter


def _behind_proxies(app: AsgiApplication, settings: Settings) -> AsgiApplication:
    if "*" not in settings.allowed_hosts:
        app = AllowedHosts(app, settings.allowed_hosts)
    if settings.proxy_headers:
        app = Proxies(app, TrustedProxies(settings.forwarded_allow_ips), settings.forwarded_headers)
    return app


def _bridged(found: object, settings: Settings) -> WsgiToAsgi:
    """Return *found* as an ASGI application; of one that its own code has bridged, its limits stay."""
    if isinstance(found, BRIDGED):
        found.set_default_limits(**settings.bridge_limits(found.threads.size))
        return found
    options: dict[str, Any] = {
        "threads": settings.threads,
        "multiprocess": settings.worker_count > 1,
        "task_grace": settings.task_grace,
        "read_ahead": settings.read_ahead,
        **settings.bridge_limits(settings.threads),
    }
    if isinstance(found, Flask):
        async_threads = settings.async_threads if settings.threads > 1 else 1
        return FlaskToAsgi(found, async_threads=async_threads, **options)
    return WsgiToAsgi(cast("WsgiApplication", found), **options)


def _share_memory(bridge: WsgiToAsgi, settings: Settings) -> None:
    """Let the workers share the memory that there is for bodies."""
    budget = bridge.intake.budget
    budget.processes = settings.worker_count
    if budget.memory.limit is not None:
        give_back_freed()


async def _answer_cancelled(send: Send) -> None:
    await send_problem(send, 503, "The service ends, and the request has taken too long. Try again.", _RETRY)
