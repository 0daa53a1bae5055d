# SPDX-License-Identifier: MIT
"""The lines about the application that are logged at the start of a service.

Only a process that serves imports the application. So each worker sends the lines to its supervisor, which
logs each line once. A new line, as after an upgrade of the application, is logged when it comes.
"""

import logging
import shlex
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from ashapp.bridge import WsgiToAsgi
from ashapp.bridge.loop_or_thread.views import ViewKind
from ashapp.server.introspection.routes import Route, list_routes
from ashapp.server.protocols import limited_protocol
from ashapp.server.serving.socket_io import socket_io_warnings
from ashapp.server.settings.model import Settings

__all__ = ["NOTHING_NAMED", "Kind", "Tell", "announcements", "logging_once"]

_log = logging.getLogger("ashapp.server")

#: The line for the reference API, which is served if there is nothing else.
NOTHING_NAMED = (
    "No application is named, and there is none here: this is the reference API. To serve yours: "
    "'ashapp serve module:app', ASHAPP_APP, FLASK_APP, or a file wsgi.py or app.py here"
)

_ASYNC = {ViewKind.ASYNC, ViewKind.ASYNC_GENERATOR}
_LOOKS_SYNC = {ViewKind.DECORATED_ASYNC, ViewKind.ASYNC_CALLABLE}
# How many views are named.
_NAMED = 3


class Kind(StrEnum):
    """The kinds of lines."""

    #: A warning for the owner of the application.
    WARNING = "warning"
    NOTE = "note"
    #: The last line: where the application is served.
    SERVING = "serving"


#: Takes a line.
Tell = Callable[[Kind, str], object]


def announcements(
    found: object, settings: Settings, warnings: Iterable[str], urls: Iterable[str]
) -> Iterator[tuple[Kind, str]]:
    """Yield the lines for the application that was *found* and is served at *urls*; *warnings* are of it."""
    routes = list_routes(found)
    if limited_protocol(settings.http, settings.connection_limits) is None:
        name = settings.http
        yield (
            Kind.WARNING,
            f"http = {name} has no limits of ours for heads, nor of the time for what is sent",
        )
    found_here = [*_never_called(routes, settings), *_kept_off_the_loop(routes)]
    for warning in [*warnings, *found_here, *socket_io_warnings(found, settings)]:
        yield Kind.WARNING, warning
    for note in _look_sync(routes, settings.app):
        yield Kind.NOTE, note
    if "app" not in settings.given:
        yield Kind.NOTE, NOTHING_NAMED
    workers = "1 worker" if settings.worker_count == 1 else f"{settings.worker_count} workers"
    threads = "" if isinstance(found, WsgiToAsgi) else f" of {settings.threads} threads"
    yield Kind.SERVING, f"Serving {settings.app} on {', '.join(urls)} with {workers}{threads}"


def logging_once(more: Iterable[str] = ()) -> Tell:
    """Return what logs each line once. The lines *more* follow where the application is served."""
    told: set[str] = set()

    def tell(kind: Kind, line: str) -> None:
        for each in (line, *more) if kind is Kind.SERVING else (line,):
            if each not in told:
                told.add(each)
                _log.log(logging.WARNING if kind is Kind.WARNING else logging.INFO, "%s", each)

    return tell


def _never_called(routes: Iterable[Route], settings: Settings) -> Iterator[str]:
    """Yield a line for each view at the path of a probe; a rule that has variables is meant for others."""
    paths = {getattr(settings, name): name for name in ("livez_path", "readyz_path", "healthz_path")}
    for route in routes:
        if settings.probes and route.rule in paths:
            yield (
                f"{settings.app} has a view at {route.rule} ({route.endpoint}) that is never called: a probe "
                f"is answered there; choose another {paths[route.rule]}, or switch it off"
            )


def _kept_off_the_loop(routes: Iterable[Route]) -> Iterator[str]:
    """Yield one line if async views are kept off the loop, and not on purpose."""
    kept = {
        route.endpoint: route.reason
        for route in routes
        if route.kind in _ASYNC and route.reason and not route.own_loop
    }
    if kept:
        views = (
            "1 async view runs on a thread" if len(kept) == 1 else f"{len(kept)} async views run on threads"
        )
        # A reason for one is a reason for all.
        yield f"{views}: {next(iter(kept.values()))}"


def _look_sync(routes: Iterable[Route], target: str) -> Iterator[str]:
    """Yield one line if there are async views that look sync to Flask."""
    names = sorted({route.endpoint for route in routes if route.kind in _LOOKS_SYNC or route.async_methods})
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield (
            f"Async views that look sync to Flask, and hold a thread while they wait: {len(names)} "
            f"({', '.join(names[:_NAMED])}{more}); to see why: ashapp routes {shlex.quote(target)}"
        )
