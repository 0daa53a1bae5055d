# SPDX-License-Identifier: MIT
"""Run the server: alone in this process, in workers below a supervisor, or in one that is reloaded."""

import logging
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from ashapp.server.assembly.log_config import logging_options
from ashapp.server.errors import StartupError
from ashapp.server.health.state import Health
from ashapp.server.inspection.announcements import Announcements
from ashapp.server.management import server as management
from ashapp.server.management.workers import Workers
from ashapp.server.processes.reloader import Reloader
from ashapp.server.processes.supervisor import Supervisor
from ashapp.server.processes.worker_handle import Worker
from ashapp.server.processes.worker_process import WorkerServer
from ashapp.server.protocols import limited_protocol
from ashapp.server.serving.draining_server import DrainingServer
from ashapp.server.serving.process import serve
from ashapp.server.serving.single_process import MainServer
from ashapp.server.settings import Settings
from ashapp.server.system.resources import allow_open_files
from ashapp.server.system.sockets import bound, listen

__all__ = ["run"]

_Server = TypeVar("_Server", bound=DrainingServer)


def run(settings: Settings) -> int:
    """Serve until a signal ends it, and return the exit code: 0, or 3 if the application's startup failed.

    The application is imported in this process only if it is the one that serves. Raises `StartupError` when
    the service can't start, also where a worker has found that.
    """
    allow_open_files()
    with bound(settings) as sockets, management.serving(settings) as (workers, urls):
        told = [f"Metrics and readiness on {', '.join(urls)}, not for the public"] if urls else []
        if settings.reload:
            return _reload(settings, sockets, workers, told)
        announcements = Announcements(told)
        if settings.supervisor:
            return _supervise(settings, sockets, workers, announcements)
        return _serve(settings, sockets, workers, announcements)


def _server(kind: type[_Server], settings: Settings) -> _Server:
    return kind(_config(settings), settings, Health())


def _config(settings: Settings, *, reload: bool = False) -> uvicorn.Config:
    """Return uvicorn's configuration: of a server, which gets its application later, or of a reloader."""
    options: dict[str, Any] = {**settings.uvicorn_config(), **logging_options(settings)}
    if not reload:
        options = {name: value for name, value in options.items() if not name.startswith("reload")}
    try:
        protocol = limited_protocol(settings.http, settings.connection_limits)
        if protocol is not None:
            options["http"] = protocol
        return uvicorn.Config(settings.app, interface="asgi3", **options)
    except Exception as error:
        raise StartupError(f"uvicorn refuses its settings: {error}") from error


def _serve(
    settings: Settings, sockets: list[socket.socket], workers: Workers | None, announcements: Announcements
) -> int:
    server = _server(MainServer, settings)
    try:
        serve(server, sockets, workers, announcements.tell)
    except OSError as error:
        if server.started:
            raise
        raise StartupError(f"can't listen: {error.strerror}") from error
    return 0 if server.started or server.should_exit else STARTUP_FAILURE


def _reload(
    settings: Settings, sockets: list[socket.socket], workers: Workers | None, told: list[str]
) -> int:
    server = _server(WorkerServer, settings)
    listen(sockets, server.config.backlog)
    config = _reload_config(settings)
    seconds = settings.drain_delay + settings.end_seconds
    forget = _forget(workers)
    return Reloader(config, lambda: Worker(server, sockets, None), seconds, told, forget).run()


def _reload_config(settings: Settings) -> uvicorn.Config:
    """Return the configuration that says which files to watch; uvicorn's word of it would come too early."""
    logging.disable(logging.INFO)
    try:
        return _config(settings, reload=True)
    finally:
        logging.disable(logging.NOTSET)


def _supervise(
    settings: Settings, sockets: list[socket.socket], workers: Workers | None, announcements: Announcements
) -> int:
    server = _server(WorkerServer, settings)
    listen(sockets, server.config.backlog)

    def stop_listening() -> None:
        # The workers close the last descriptors, when nobody waits there any more.
        for sock in sockets:
            sock.close()

    supervisor = Supervisor(
        settings,
        lambda replaced: Worker(server, sockets, replaced),
        stop_listening,
        _forget(workers),
        announcements.tell,
    )
    supervisor.blocks = server.health.blocks
    try:
        return supervisor.run()
    finally:
        supervisor.close()


def _forget(workers: Workers | None) -> Callable[[int], object]:
    return (lambda _: None) if workers is None else workers.forget
