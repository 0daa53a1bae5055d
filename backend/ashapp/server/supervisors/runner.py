# SPDX-License-Identifier: MIT
"""Run the server: alone in this process, in workers below a supervisor, or in one that is reloaded."""

import contextlib
import importlib
import logging
import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.config import LOOP_FACTORIES, STARTUP_FAILURE, WS_PROTOCOLS
from uvicorn.importer import ImportFromStringError, import_from_string

from ashapp.server.assembly.log_config import logging_options
from ashapp.server.discovery.modules import require_module
from ashapp.server.errors import StartupError
from ashapp.server.health.state import Health
from ashapp.server.management import control_server as control
from ashapp.server.management import server as management
from ashapp.server.operating_system.pid_file import pid_file
from ashapp.server.operating_system.process_title import set_title
from ashapp.server.operating_system.resources import allow_open_files
from ashapp.server.operating_system.sockets import bound, listen
from ashapp.server.operating_system.systemd import passed_descriptors
from ashapp.server.protocols import limited_protocol
from ashapp.server.serving.announcements import Kind, announcements, logging_once
from ashapp.server.serving.process import prepare, serve
from ashapp.server.serving.single_process import MainServer
from ashapp.server.settings.model import REFERENCE_API, Settings
from ashapp.server.supervisors.fork_server import ForkServer, start_fork_server
from ashapp.server.supervisors.reloader import Reloader
from ashapp.server.supervisors.supervisor import Supervisor
from ashapp.server.supervisors.worker_process import WorkerOptions, work
from ashapp.server.worker_status.workers import Workers

__all__ = ["check", "run"]

_WEBSOCKET = "ashapp.server.protocols.websocket_protocol:WebSocketProtocol"


def check(settings: Settings) -> list[str]:
    """Import the application, and what else the settings name, but serve nothing; return warnings.

    Raises:
        StartupError: the service can't start.
    """
    _require_modules(settings)
    application = prepare(MainServer(_config(settings), settings, Health()), None)
    lines = announcements(application.found, settings, application.warnings, ())
    return [line for kind, line in lines if kind is Kind.WARNING]


def run(settings: Settings) -> int:
    """Serve until a signal ends it; return the exit code: 0, or 3 if the application's startup failed.

    The application is imported in this process only if it is the one that serves.

    Raises:
        StartupError: the service can't start, also where a worker has found that.
    """
    _require_modules(settings)  # before a port is announced
    if settings.debug:
        os.environ["FLASK_DEBUG"] = "1"  # which a factory may ask for
    allow_open_files()
    if passed := passed_descriptors():  # by systemd, in place of any other
        settings = settings.replaced(bind=[f"fd:{each}" for each in passed])
    config = _config(settings)
    if not (settings.reload or settings.supervisor):
        return _serve_alone(config, settings)
    _import_ahead(config, settings.app)
    fork_server = start_fork_server()
    if isinstance(fork_server, ForkServer):
        with contextlib.closing(fork_server):
            return _supervise(config, settings, fork_server)
    return work(config, settings, fork_server)


def _require_modules(settings: Settings) -> list[Path]:
    """Return the folders that the applications are in; raise `StartupError` if one is not there."""
    targets = (settings.app, *(settings.mount or {}).values())
    return [folder for folder in map(require_module, targets) if folder is not None]


@contextlib.contextmanager
def _started(settings: Settings) -> Iterator[tuple[list[socket.socket], Workers | None, list[str]]]:
    """Enter what the main process needs: its sockets, the workers of the management port, its URLs."""
    with (
        pid_file(settings.pidfile),
        bound(settings) as sockets,
        management.serving(settings) as (workers, urls),
    ):
        yield sockets, workers, urls


def _serve_alone(config: uvicorn.Config, settings: Settings) -> int:
    set_title("server", settings.app)
    with _started(settings) as (sockets, workers, urls):
        server = MainServer(config, settings, Health())
        with control.serving(settings, workers, None):
            serve(server, sockets, workers, logging_once(_lines(urls)))
    return 0 if server.started or server.should_exit else STARTUP_FAILURE


def _supervise(config: uvicorn.Config, settings: Settings, fork_server: ForkServer) -> int:
    set_title("supervisor", settings.app)
    with _started(settings) as (sockets, workers, urls):
        options = WorkerOptions(settings, sockets, Counter(), fork_server)
        listen(sockets, config.backlog)
        lines = _lines(urls)
        if not settings.reload:
            supervisor = Supervisor(options, workers, logging_once(lines))
            with control.serving(settings, workers, supervisor.control):
                return supervisor.run()
        lines.append(f"Reloading when a file changes in {', '.join(map(str, config.reload_dirs))}")
        return Reloader(config, options, workers, logging_once(lines)).run()


def _import_ahead(config: uvicorn.Config, target: str) -> None:
    """Import the modules of uvicorn and ours that each worker needs. Errors are left to the workers."""
    if target == REFERENCE_API:
        importlib.import_module(target.partition(":")[0])
    for name in (LOOP_FACTORIES.get(config.loop), WS_PROTOCOLS.get(str(config.ws), str(config.ws))):
        with contextlib.suppress(ImportError, ImportFromStringError):
            if name is not None:
                import_from_string(name)
    if config.loop in {"auto", "uvloop"}:
        with contextlib.suppress(ImportError):
            importlib.import_module("uvloop")


def _lines(urls: list[str]) -> list[str]:
    return [f"Metrics and readiness on {', '.join(urls)}, not for the public"] if urls else []


def _config(settings: Settings) -> uvicorn.Config:
    """Return uvicorn's configuration of a server, which gets its application later.

    For a service that is reloaded, it says which files to watch. uvicorn must not log that yet.
    """
    options: dict[str, Any] = {**settings.uvicorn_config(), **logging_options(settings)}
    if settings.reload:
        options.setdefault("reload_dirs", _folders_to_watch(settings))
    else:
        options = {name: value for name, value in options.items() if not name.startswith("reload")}
    logging.disable(logging.INFO)
    try:
        protocol = limited_protocol(settings.http, settings.connection_limits)
        if protocol is not None:
            options["http"] = protocol
        if settings.ws in {None, "auto", "websockets-sansio"}:
            options["ws"] = _WEBSOCKET
        return uvicorn.Config(settings.app, interface="asgi3", **options)
    except Exception as error:
        raise StartupError(f"uvicorn refuses its settings: {error}") from error
    finally:
        logging.disable(logging.NOTSET)


def _folders_to_watch(settings: Settings) -> list[str]:
    """Return the current folder, and the folders of the applications unless these are installed."""
    folders = dict.fromkeys([Path.cwd(), *_require_modules(settings)])
    return [str(folder) for folder in folders if "site-packages" not in folder.parts]
