# SPDX-License-Identifier: MIT
"""What is told of an application when a service starts: by the process that has imported it, once for all.

Only a process that serves imports the application. So a worker tells its supervisor what is to be told, and
that logs each line once, however many workers tell it, and again only where a new release brings another.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from ashapp.server.assembly.application import Application
from ashapp.server.inspection import startup_hints
from ashapp.server.inspection.routes import list_routes
from ashapp.server.inspection.shadowed import shadowed
from ashapp.server.protocols import limited_protocol
from ashapp.server.settings import Settings

__all__ = ["Announcements", "Kind", "Tell", "announcements"]

_log = logging.getLogger("ashapp.server")


class Kind(StrEnum):
    """What a line is about."""

    #: The owner of the application should do something about it.
    WARNING = "warning"
    NOTE = "note"
    #: Where the application is served; the last line.
    SERVING = "serving"


#: Takes a line.
Tell = Callable[[Kind, str], object]


def announcements(
    settings: Settings, application: Application, urls: Iterable[str]
) -> Iterator[tuple[Kind, str]]:
    """Yield the lines for an application that is served at *urls*."""
    routes = list_routes(application.found)
    if limited_protocol(settings.http, settings.connection_limits) is None:
        name = settings.http
        yield (
            Kind.WARNING,
            f"http = {name} has no limits of ours for heads, nor of the time for what is sent",
        )
    for warning in [*application.warnings, *shadowed(routes, settings), *startup_hints.kept_off(routes)]:
        yield Kind.WARNING, warning
    for note in startup_hints.hidden(routes, settings.app):
        yield Kind.NOTE, note
    workers = "1 worker" if settings.worker_count == 1 else f"{settings.worker_count} workers"
    threads = "" if application.bridged else f" of {settings.threads} threads"
    yield Kind.SERVING, f"Serving {settings.app} on {', '.join(urls)} with {workers}{threads}"


class Announcements:
    """Logs each line that it is told, once; *more* follow when an application is served."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        self._more = tuple(more)
        self._told: set[str] = set()

    def tell(self, kind: Kind, line: str) -> None:
        """Log *line*, unless it has been logged."""
        for each in (line, *self._more) if kind is Kind.SERVING else (line,):
            if each not in self._told:
                self._told.add(each)
                _log.log(logging.WARNING if kind is Kind.WARNING else logging.INFO, "%s", each)
