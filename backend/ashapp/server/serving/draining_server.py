# SPDX-License-Identifier: MIT
"""A server whose end loses no request.

Theory of operation. The end has steps, each with a time limit of its own:

1. Drain. Readiness is false at once, and each response says ``Connection: close``, but connections are still
   accepted: load balancers need some time until they send no more. Open WebSockets are told to leave, one
   after the other; those that come meanwhile, at the end of the drain. After that new ones are denied.
2. Close the listeners (see ``accept_queue``), finish requests in flight, and close idle connections.
3. Cancel requests that take too long, and tear them down.
4. Run the application's shutdown.

A second signal ends the steps 1 and 2 at once. A worker that retires while others go on begins with step 2,
in which its WebSockets leave. Its idle connections are closed later, as there is no hurry.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from enum import Enum, auto
from types import FrameType

import uvicorn
from uvicorn.protocols.http.flow_control import CLOSE_HEADER

from ashapp.server.health.state import Health, Phase
from ashapp.server.operating_system.signals import is_on_terminal
from ashapp.server.operating_system.sockets import socket_files
from ashapp.server.serving.accept_queue import accept_last
from ashapp.server.serving.connections import number_of
from ashapp.server.serving.server import Server
from ashapp.server.settings.model import Settings
from ashapp.server.settings.sources.addresses import InheritedAddress

__all__ = ["DrainingServer", "Ending"]

_log = logging.getLogger("ashapp.server")

# Seconds between checks whether requests are in flight.
_POLL = 0.05
# Seconds that a connection must be idle before it is closed: a new one may just send its first request.
_IDLE = 0.5
# The same while others go on to accept.
_RETIRING_IDLE = 5
# Seconds that WebSockets have to answer when the last one has been told to leave.
_FAREWELL = 1


class Ending(Enum):
    """How a server ends."""

    NOT = auto()
    #: Others go on to accept connections.
    RETIRING = auto()
    #: The whole service ends.
    DRAINING = auto()
    #: At once, even with requests in flight.
    HURRIED = auto()


class DrainingServer(Server):
    """Serves until it is told to `drain`, to `retire` or to `hurry`."""

    def __init__(self, config: uvicorn.Config, settings: Settings, health: Health) -> None:
        super().__init__(config, settings, health)
        self.ending = Ending.NOT
        self._drain_end = float("-inf")
        # When WebSockets should have left.
        self._away = float("-inf")
        # The sockets have just been bound, in this process or in its supervisor.
        self._socket_files = socket_files(settings.addresses)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - of a signal handler
        """Begin to end at the first signal, hurry at the next, and at SIGQUIT always."""
        self._signal = f"{signal.Signals(sig).name}: "
        self.drain()
        if sig == signal.SIGQUIT:
            self.hurry()

    def drain(self) -> None:
        """Begin to end, as the whole service does; once more to hurry. Safe in a signal handler."""
        if self.ending in {Ending.DRAINING, Ending.HURRIED}:
            self.hurry()
            return
        self.health.phase = Phase.DRAINING
        self._drain_end = time.monotonic() + self.settings.drain_delay
        self._begin_to_end(Ending.DRAINING)

    def retire(self) -> None:
        """Begin to end while other processes go on to accept connections. On the loop."""
        self._begin_to_end(Ending.RETIRING)

    def hurry(self) -> None:
        """End the drain, and cancel what is in flight. Safe in a signal handler."""
        self._begin_to_end(Ending.HURRIED)

    def _begin_to_end(self, ending: Ending) -> None:
        self.ending = ending
        if self.should_exit:
            return
        # Into both lists: uvicorn makes the second from the first once a second.
        self.config.encoded_headers.append(CLOSE_HEADER)
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE_HEADER]
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._announce_end)

    def _announce_end(self) -> None:
        self._end_has_begun.set()
        if self._start is not None and not self.started:
            self._start.cancel()
        seconds = self._drain_end - time.monotonic()
        if self.ending is Ending.DRAINING and self.started and seconds > 0:
            _log.info(
                "%sNot ready any more; connections are accepted for %.1f s%s", self._signal, seconds, _hint()
            )
        self._connections.announce_end()
        if self.ending is not Ending.RETIRING:
            self._send_away(max(seconds, 0))

    def _send_away(self, seconds: float) -> None:
        """Tell WebSockets to leave within *seconds*; after these no more are let in."""
        self._away = time.monotonic() + seconds + _FAREWELL
        for drain in self.health.drains:
            drain(seconds)

    async def on_tick(self, counter: int) -> bool:
        """Return whether the listeners are to be closed now."""
        if not await super().on_tick(counter):
            return False
        return self.ending is not Ending.DRAINING or time.monotonic() >= self._drain_end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listeners, finish what is in flight, and shut the application down."""
        _log.info("Shutting down")
        self._connections.announce_end()
        await self._close_listeners(sockets or [])
        if not await self._finish():
            self._connections.break_off()
            await asyncio.sleep(0)  # or tasks that have just been made would never begin
            self._cancel()
        await self.end_application()
        self._connections.abort()

    async def _close_listeners(self, sockets: list[socket.socket]) -> None:
        queued: list[socket.socket] = []
        # Other processes that listen, now or after a change of a file, go on to accept.
        inherited = [each for each in self.settings.addresses if isinstance(each, InheritedAddress)]
        ours = sockets[len(inherited) :]
        if ours and not (self.ending is Ending.RETIRING or self.settings.reload):
            queued = await accept_last(ours, self._socket_files)
        self.acceptor.close()
        for sock in sockets:
            sock.close()
        # Connections without a protocol are waited for as requests are: a TLS handshake, or a proxy's header,
        # may never come.
        for connection in queued:
            self.acceptor.begin(connection, self.server_state.tasks)

    async def _finish(self) -> bool:
        """Wait until all is done; return whether it was in time."""
        seconds = self.settings.timeout_graceful_shutdown
        deadline = time.monotonic() + seconds
        is_retiring = self.ending is Ending.RETIRING
        grace = min(_RETIRING_IDLE, self.config.timeout_keep_alive) if is_retiring else _IDLE
        await asyncio.sleep(_POLL)  # until connections that were just accepted are there
        if is_retiring:
            # Later, when handshakes that had begun are over. Clients that come back get another worker.
            farewell = min(self.settings.drain_delay, seconds / 2)
            self._away = deadline
            asyncio.get_running_loop().call_later(_IDLE, self._send_away, farewell)
        if seconds and self.ending is not Ending.HURRIED and (left := self._connections.in_flight()):
            _log.info("Waiting for %s, for %d s at most%s", left, seconds, _hint())
        while self.server_state.connections or self.server_state.tasks:
            if self.ending is Ending.HURRIED or time.monotonic() >= deadline:
                return False
            self._connections.close_idle(grace)
            if time.monotonic() >= self._away:
                self._connections.close_others()
            await asyncio.sleep(_POLL)
        return True

    def _cancel(self) -> None:
        self.health.phase = Phase.STOPPING
        tasks = list(self.server_state.tasks)
        reason = "hurried" if self.ending is Ending.HURRIED else "timeout_graceful_shutdown is over"
        if tasks:
            _log.warning("Cancelled %s in flight: %s", number_of(len(tasks), "request"), reason)
            seconds = self.settings.timeout_lifespan_shutdown
            _log.info("Threads that still run, and the application's shutdown, have %g s", seconds)
        for task in tasks:
            task.cancel(f"Cancelled at the end of the server: {reason}")


def _hint() -> str:
    """Return a hint for a person at a terminal: how to end at once."""
    return "; Ctrl+C again ends it at once" if is_on_terminal() else ""
