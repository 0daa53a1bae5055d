# SPDX-License-Identifier: MIT
"""The server of a process that serves alone, without a supervisor that could end or replace it."""

import functools
import logging
import signal
import socket
import sys
from types import FrameType

from ashapp.server.draining_server import DrainingServer
from ashapp.server.errors import StartupError
from ashapp.server.heartbeat import Watchdog
from ashapp.server.listener import is_listening
from ashapp.server.stuck import abandon, abandon_after

__all__ = ["MainServer"]

_log = logging.getLogger("ashapp.server")


class MainServer(DrainingServer):
    """Ends its process where it is stuck: with a stalled loop, or at an end that takes too long.

    Whatever has started the process, as a container's runtime, then starts another.
    """

    def handle_signals(self) -> None:
        """Handle SIGHUP too, unless it was ignored (``nohup``) or means that the terminal is gone."""
        super().handle_signals()
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            is_terminal = sys.stdin is not None and sys.stdin.isatty()
            signal.signal(signal.SIGHUP, self.handle_exit if is_terminal else self._refuse_to_roll)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and watch the loop.

        Raises:
            StartupError: another process has begun to listen at one of *sockets*. uvloop does not tell.

        """
        await super().startup(sockets)
        refused = [sock for sock in sockets or [] if self.started and not is_listening(sock)]
        if refused:
            for sock in refused:
                sock.detach()  # uvloop has closed its descriptor, which may be another's by now
            await self._end_application()
            raise StartupError("another process has begun to listen at the same address; choose another")
        seconds = self.settings.stall_seconds
        if seconds:
            reason = f"The event loop has not answered for {seconds:g} s: the process ends"
            Watchdog(self.beats, seconds, functools.partial(abandon, reason)).start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down, within the time for it."""
        abandon_after(self.settings.end_seconds)
        await super().shutdown(sockets)

    def _refuse_to_roll(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - of a signal handler
        self._hung_up = True

    async def on_tick(self, counter: int) -> bool:
        """Tell of a SIGHUP that was of no use."""
        if self._hung_up:
            self._hung_up = False
            _log.warning("SIGHUP is ignored: a process that serves alone can't be replaced; use --supervisor")
        return await super().on_tick(counter)

    _hung_up = False
