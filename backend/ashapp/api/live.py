# SPDX-License-Identifier: MIT
"""The live part of the page. The figures are read once a second, however many viewers there are."""

import threading
import time
from asyncio import sleep
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Flask

from ashapp.api.plot import HEIGHT, SECONDS, WIDTH, bands, scale

__all__ = ["PLACES", "Live", "duration", "rate"]

#: The places of requests. "server": the server has answered itself, before the application.
PLACES = ("loop", "thread", "server")

# The figures are read again after this many seconds; until then all viewers get the same.
_PERIOD = 1.0
_FRESH = 0.9
# The plot begins anew when there was no viewer for this many seconds.
_GAP = 5.0


class Live:
    """The figures of the service that serves *app*. From any thread, as views may be kept off the loop."""

    #: Returns the figures; None where nothing counts. The server sets it, see
    #: ``server.worker_status.live_figures``.
    look: Callable[[], Mapping[str, Any]] | None = None

    def __init__(self, app: Flask) -> None:
        self._app = app
        #: The number of viewers.
        self.viewers = 0
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._shown = ""
        self._seen: deque[tuple[float, Mapping[str, float]]] = deque()

    def figures(self) -> str:
        """Return the figures as HTML; an empty text where nothing counts."""
        with self._lock:
            now = time.monotonic()
            if self.look is not None and now - self._looked_at >= _FRESH:
                figures = self.look()
                self._see(now, figures["places"])
                self._looked_at = now
                self._shown = self._render(figures)
            return self._shown

    async def watch(self, count: int) -> AsyncIterator[str]:
        """Yield the figures as HTML *count* times, once a second; nothing where nothing counts."""
        for number in range(count if self.look is not None else 0):
            if number:
                await sleep(_PERIOD)
            yield self.figures()

    def join(self, most: int) -> bool:
        """Count one more viewer and return True; return False if there are *most* already."""
        with self._lock:
            if self.viewers >= most:
                return False
            self.viewers += 1
            return True

    def leave(self) -> None:
        """Count one viewer less."""
        with self._lock:
            self.viewers -= 1

    def _see(self, now: float, places: Mapping[str, float]) -> None:
        if now - self._looked_at > _GAP:
            self._seen.clear()
        else:
            self._seen.append((now, places))
        while self._seen and now - self._seen[0][0] > SECONDS:
            self._seen.popleft()

    def _render(self, figures: Mapping[str, Any]) -> str:
        # Without a context: the stream outlives the context of its request.
        template = self._app.jinja_env.get_template("figures.html")
        return template.render(
            figures,
            names=PLACES,
            total=sum(figures["places"].values()),
            most=max([row["rate"] for row in figures["routes"]], default=0.0) or 1.0,
            bands=bands(self._seen, PLACES),
            top=scale(self._seen),
            width=WIDTH,
            height=HEIGHT,
            rate=rate,
            duration=duration,
            moment=_moment,
        )


def rate(value: float) -> str:
    """Return a number of requests per second for a reader."""
    return f"{value:,.0f}" if value >= 10 or not value else f"{max(value, 0.1):.1f}"


def duration(seconds: float) -> str:
    """Return a time in its two largest units, such as "3 d 4 h"."""
    rest = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or parts or unit == "s":
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def _moment(seconds: float) -> datetime:
    """Return the moment so many *seconds* after the epoch."""
    return datetime.fromtimestamp(seconds, UTC)
