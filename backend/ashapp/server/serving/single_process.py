# SPDX-License-Identifier: MIT
"""The server of a process that serves alone: no supervisor ends or replaces it."""

import functools
import logging
import signal
import socket
import threading

import uvicorn

from ashapp.observe.logs.log_files import reopen_log_files
from ashapp.server.health.last_words import abandon, abandon_after
from ashapp.server.health.stalls import call_when_stalled
from ashapp.server.health.state import Health
from ashapp.server.operating_system.signals import handle, is_on_terminal, noted
from ashapp.server.operating_system.systemd import ServiceManager
from ashapp.server.serving.draining_server import DrainingServer
from ashapp.server.settings.model import Settings

__all__ = ["MainServer"]

_log = logging.getLogger("ashapp.server")

# Seconds between checks during the start.
_POLL = 0.1
# With less than these seconds between signs of life, one tick a second is too slow.
_SHORT = 2.0
# Seconds that the interpreter has to end.
_SLACK = 1.0

_NO_WORKERS = "a process that serves alone has no workers; use --supervisor"
_OF_NO_USE = {
    "SIGHUP": "a process that serves alone can't be replaced; use --supervisor",
    "SIGTTIN": _NO_WORKERS,
    "SIGTTOU": _NO_WORKERS,
    "SIGUSR1": "the log goes to standard error, to no file that could be opened anew",
    "SIGUSR2": "a new version is started by whoever has started this one",
}


class MainServer(DrainingServer):
    """Ends its process if its loop is stalled, or if its end takes too long.

    Whatever has started the process, as a container's runtime, then starts another.
    """

    def __init__(self, config: uvicorn.Config, settings: Settings, health: Health) -> None:
        super().__init__(config, settings, health)
        self._start_is_over = threading.Event()
        self._systemd = ServiceManager()
        if self._systemd.interval is not None and self._systemd.interval < _SHORT:
            self._idle_ticks = 1  # or its signs of life would be late

    def handle_signals(self) -> None:
        """Handle SIGHUP too, as the end of its terminal, unless it is below ``nohup``."""
        super().handle_signals()
        if is_on_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            handle(signal.SIGHUP, self.handle_exit)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal ends it."""
        try:
            super().run(sockets)
        finally:
            self._start_is_over.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and watch the loop."""
        threading.Thread(target=self._watch_start, name="ashapp-start", daemon=True).start()
        await super().startup(sockets)
        if not self.started:
            return
        self._start_is_over.set()
        self._systemd.ready()
        seconds = self.settings.stall_timeout
        if seconds:
            reason = f"The event loop has not answered for {seconds:g} s: the process ends"
            call_when_stalled(self.health.beats, seconds, functools.partial(abandon, reason))

    def _watch_start(self) -> None:
        """End the process by force if it must end during its start, and can't: a hook may block the loop."""
        while not (self._start_is_over.wait(_POLL) or self.should_exit):
            pass
        if not self._start_is_over.wait(self.settings.timeout_lifespan_shutdown + _SLACK):
            abandon("The process has not ended in the time that it has; its start goes on")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down, within the time for it."""
        abandon_after(self.settings.end_seconds)
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Log signals without an effect, and give systemd a sign of life."""
        self._systemd.live()
        if self.should_exit:
            self._systemd.stopping()
        for signum in noted():
            if signum.name == "SIGUSR1" and reopen_log_files():
                continue
            _log.warning("%s is ignored: %s", signum.name, _OF_NO_USE[signum.name])
        return await super().on_tick(counter)
