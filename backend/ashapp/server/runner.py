# SPDX-License-Identifier: MIT
"""Run the server: alone in this process, in workers below a supervisor, or in one that is reloaded."""

import logging
import socket
from collections import Counter
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from ashapp.server.assembly.log_config import logging_options
from ashapp.server.errors import StartupError
from ashapp.server.health.state import Health
from ashapp.server.inspection.announcements import Announcements, Tell
from ashapp.server.management import server as management
from ashapp.server.management.workers import Workers
from ashapp.server.processes.reloader import Reloader
from ashapp.server.processes.supervisor import Supervisor
from ashapp.server.processes.worker_process import WorkerOptions
from ashapp.server.protocols import limited_protocol
from ashapp.server.serving.process import serve
from ashapp.server.serving.single_process import MainServer
from ashapp.server.settings import Settings
from ashapp.server.system.resources import allow_open_files
from ashapp.server.system.sockets import bound, listen

__all__ = ["run"]


def run(settings: Settings) -> int:
    """Serve until a signal ends it; return the exit code: 0, or 3 if the application's startup failed.

    The application is imported in this process only if it is the one that serves.

    Raises:
        StartupError: the service can't start, also where a worker has found that.

    """
    allow_open_files()
    with bound(settings) as sockets, management.serving(settings) as (workers, urls):
        lines = [f"Metrics and readiness on {', '.join(urls)}, not for the public"] if urls else []
        if not (settings.reload or settings.supervisor):
            return _serve_alone(settings, sockets, workers, Announcements(lines).tell)
        options = WorkerOptions(_config(settings), settings, sockets, Counter())
        listen(sockets, options.config.backlog)
        if not settings.reload:
            return Supervisor(options, workers, Announcements(lines).tell).run()
        config = _reload_config(settings)
        lines.append(f"Reloading when a file changes in {', '.join(map(str, config.reload_dirs))}")
        return Reloader(config, options, workers, Announcements(lines).tell).run()


def _serve_alone(
    settings: Settings, sockets: list[socket.socket], workers: Workers | None, tell: Tell
) -> int:
    server = MainServer(_config(settings), settings, Health())
    serve(server, sockets, workers, tell)
    return 0 if server.started or server.should_exit else STARTUP_FAILURE


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


def _reload_config(settings: Settings) -> uvicorn.Config:
    """Return the configuration that says which files to watch; uvicorn's word of it would come too early."""
    logging.disable(logging.INFO)
    try:
        return _config(settings, reload=True)
    finally:
        logging.disable(logging.NOTSET)
