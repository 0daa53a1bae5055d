# SPDX-License-Identifier: MIT
"""uvicorn's server, with a start that can be cancelled and our own way to accept connections."""

import asyncio
import contextlib
import functools
import gc
import inspect
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from asyncio import Runner
from collections.abc import Coroutine, Generator, Iterator
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from ashapp.bridge.forked_children import end_forked_child
from ashapp.server.errors import StartupError
from ashapp.server.health.state import Health
from ashapp.server.operating_system.kept_descriptors import kept_from_children
from ashapp.server.operating_system.signals import failures, handle, keep
from ashapp.server.operating_system.sockets import listen
from ashapp.server.protocols import limited_protocol
from ashapp.server.serving.acceptor import Acceptor, tell_if_exhausted
from ashapp.server.serving.connections import Connections
from ashapp.server.settings.model import Settings

__all__ = ["Server"]

_log = logging.getLogger("ashapp.server")

# Ticks in a second, by uvicorn's count.
_TICKS = 10

# The garbage collector looks at young objects when there are this many more. 32 requests at once have more
# than Python's 700 (2,000 since 3.13), so it looked at them time and again. An application may set its own
# threshold.
_YOUNG = 5_000
_DEFAULT_THRESHOLDS = gc.get_threshold()


class Server(uvicorn.Server):
    """Serves *config*'s application; *health* is what the application's probes report."""

    # How many ticks it takes at once while it is idle.
    _idle_ticks = _TICKS

    def __init__(self, config: uvicorn.Config, settings: Settings, health: Health) -> None:
        super().__init__(config)
        self.settings = settings
        self.health = health
        # The reason of its end, for the log.
        self._signal = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        # The task that serves, and the one that starts the application.
        self._task: asyncio.Task[Any] | None = None
        self._start: asyncio.Task[None] | None = None
        self._end_has_begun = asyncio.Event()
        self._connections = Connections(self.server_state.connections)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve *sockets* on a loop of its own until the end. On the main thread, signals are handled.

        Not by ``asyncio.run``, as uvicorn does: an application may have replaced it (``nest_asyncio``).
        """
        if threading.current_thread() is threading.main_thread():
            self.handle_signals()
        process = os.getpid()
        with (
            kept_from_children(self._descriptors),
            Runner(loop_factory=self.config.get_loop_factory()) as runner,
        ):
            awaited: Coroutine[Any, Any, None] | None = self.serve(sockets)
            try:
                while awaited is not None:
                    awaited = self._run(runner, awaited, process)
            finally:
                if os.getpid() != process:
                    end_forked_child()

    def _run(
        self, runner: Runner, awaited: Coroutine[Any, Any, None], process: int
    ) -> Coroutine[Any, Any, None] | None:
        """Run the loop until *awaited* has ended, or something stops it; return what to await then.

        ``sys.exit()`` in a task of a view stops the loop: all other requests would end with it.
        """
        try:
            runner.run(awaited)
        except (SystemExit, KeyboardInterrupt) as error:
            task = self._task
            if task is None or task.done() or os.getpid() != process or not _comes_from_task(error):
                raise
            _log.error("A task of the application raised %r; the service goes on", error, exc_info=error)
            return _wait_for(task)
        return None

    def _descriptors(self) -> Iterator[int]:
        if "acceptor" in vars(self):  # else there is none yet
            yield from self.acceptor.descriptors()
        yield from self._connections.descriptors()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Do nothing: `handle_signals` has installed the handlers, and an end by a signal is no failure."""
        yield

    def handle_signals(self) -> None:
        """Install the signal handlers of its process. On the main thread."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            handle(signum, self.handle_exit)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, and listen on *sockets*.

        If it is told to end before that, the start is cancelled, and there is nothing to shut down.

        Raises:
            StartupError: another process has begun to listen at one of *sockets*.
        """
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._start = self._loop.create_task(self.lifespan.startup())
        if self.should_exit:
            self._start.cancel()
        try:
            await self._start
        except asyncio.CancelledError:
            if not self.should_exit:
                raise
            await self._give_up_start()
            return
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        try:
            listen(sockets or [], self.config.backlog)  # uvloop does not tell if that fails
        except StartupError:
            await self.end_application()
            raise
        await self.acceptor.listen(sockets or [], self.config.backlog)
        self.started = True
        for monitor in self.health.monitors:
            await monitor.start()
        on_main_thread = threading.current_thread() is threading.main_thread()
        if on_main_thread and gc.get_threshold() == _DEFAULT_THRESHOLDS:
            gc.set_threshold(_YOUNG)

    async def _give_up_start(self) -> None:
        """Cancel what the startup has begun, and wait for its end within the time for a shutdown."""
        _log.info("%sEnding, before the application has been started", self._signal)
        self.lifespan.startup_failed = True  # so uvicorn tells nothing of it
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel("Cancelled at the end of the server, which comes before its start")
        if tasks:
            await asyncio.wait(tasks, timeout=self.settings.timeout_lifespan_shutdown)

    async def main_loop(self) -> None:
        """Tick until the end: only once a second, as each tick costs an idle service something.

        The beginning of the end is noticed at once. From then on it ticks as often as uvicorn does.
        """
        counter = 0
        while not await self.on_tick(counter):
            if self.should_exit:
                await asyncio.sleep(1 / _TICKS)
                counter += 1
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._end_has_begun.wait(), self._idle_ticks / _TICKS)
                counter += self._idle_ticks

    async def on_tick(self, counter: int) -> bool:
        """Return whether the server is to end. *counter* counts tenths of a second."""
        keep()
        for error in failures():
            _log.error("A signal handler of the application failed", exc_info=error)
        if counter % _TICKS == 0:
            tell_if_exhausted(len(self.server_state.connections))
        return await super().on_tick(counter)

    @functools.cached_property
    def acceptor(self) -> Acceptor:
        """Accepts its connections. On the loop."""
        loop = asyncio.get_running_loop()

        def create_protocol() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
                _loop=loop,
            )

        has_limits = limited_protocol(self.settings.http, self.settings.connection_limits) is not None
        return Acceptor(self.settings, create_protocol, self.config.ssl, has_limits=has_limits)

    async def end_application(self) -> None:
        """Wait for cancelled requests, and shut the application down, within the time for both."""
        seconds = self.settings.timeout_lifespan_shutdown
        try:
            async with asyncio.timeout(seconds):
                # The bridge waits for its requests and their threads before it ends the application.
                if self.settings.lifespan == "off" and self.server_state.tasks:
                    await asyncio.wait(self.server_state.tasks)
                for monitor in self.health.monitors:
                    await monitor.stop()
                await self.lifespan.shutdown()
        except TimeoutError:
            _log.error("The application was not shut down within %g s", seconds)


def _comes_from_task(error: BaseException) -> bool:
    """Say whether a coroutine has raised *error*, not a callback or a signal handler while the loop waits."""
    return any(
        frame.f_code.co_flags & inspect.CO_COROUTINE for frame, _ in traceback.walk_tb(error.__traceback__)
    )


async def _wait_for(task: asyncio.Task[Any]) -> None:
    await asyncio.wait({task})
    task.result()
