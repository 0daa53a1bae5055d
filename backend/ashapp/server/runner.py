# SPDX-License-Identifier: MIT
"""Run the server: alone in this process, in workers below a supervisor, or reloaded by uvicorn."""

import functools
import logging
import socket
from typing import Any, TypeVar

import uvicorn
from uvicorn.config import LOOP_FACTORIES, STARTUP_FAILURE
from uvicorn.importer import ImportFromStringError, import_from_string
from uvicorn.supervisors import ChangeReload

from ashapp.server import listener, management, off_loop
from ashapp.server.application import Application, assemble, create, load
from ashapp.server.draining_server import DrainingServer
from ashapp.server.errors import StartupError
from ashapp.server.health import Health
from ashapp.server.log_config import logging_options
from ashapp.server.main_server import MainServer
from ashapp.server.open_files import allow_open_files
from ashapp.server.overview import Overview
from ashapp.server.protocols import limited_protocol
from ashapp.server.routes import list_routes
from ashapp.server.settings import Settings
from ashapp.server.supervisor import Supervisor
from ashapp.server.worker import Worker
from ashapp.server.worker_process import WorkerServer

__all__ = ["run"]

_logger = logging.getLogger("ashapp.server")

_Server = TypeVar("_Server", bound=DrainingServer)


class _Config(uvicorn.Config):
    """uvicorn's, for an application factory that is pickled instead of imported by a string.

    So the settings reach the workers without showing up in a command line or an environment.
    """

    @property
    def should_reload(self) -> bool:
        return self.reload


def run(settings: Settings) -> int:
    """Serve until a signal ends it, and return the exit code: 0, or 3 if the application's startup failed.

    The application is loaded in this process even if others will serve it: what is wrong with it is told
    once, before there are workers. Raises `StartupError` when the service can't start.
    """
    allow_open_files()
    with listener.bound(settings) as sockets, management.serving(settings) as managed:
        overview = managed.overview if managed else None
        health = Health()
        config = _config(settings, health, reload=False)
        application = load(settings)
        config.app = functools.partial(assemble, application.found, settings, health, overview)
        _load(config)
        _announce(settings, application, [listener.url(sock, tls=config.is_ssl) for sock in sockets])
        if managed:
            _logger.info("Metrics and readiness on %s, not for the public", ", ".join(managed.urls))
        if settings.reload:
            return _reload(_server(DrainingServer, settings), sockets)
        if settings.is_supervised:
            return _supervise(_server(WorkerServer, settings), sockets, overview)
        return _serve(MainServer(config, settings, health), sockets)


def _server(kind: type[_Server], settings: Settings) -> _Server:
    """Return a server for another process, which loads the application there."""
    health = Health()
    return kind(_config(settings, health, reload=settings.reload), settings, health)


def _config(settings: Settings, health: Health, *, reload: bool) -> uvicorn.Config:
    options: dict[str, Any] = {**settings.uvicorn_config(), **logging_options(settings)}
    if not reload:
        options = {name: value for name, value in options.items() if not name.startswith("reload")}
    try:
        protocol = limited_protocol(settings.http, settings.connection_limits)
        if protocol is not None:
            options["http"] = protocol
        return _Config(
            functools.partial(create, settings, health), factory=True, interface="asgi3", **options
        )
    except Exception as error:
        raise StartupError(f"uvicorn refuses its settings: {error}") from error


def _load(config: uvicorn.Config) -> None:
    """Load what the configuration names, such as TLS files, protocols and the application."""
    try:
        if config.loop not in LOOP_FACTORIES:
            import_from_string(config.loop)
        config.get_loop_factory()
        config.load()
    except OSError as error:
        raise StartupError(f"ssl_certfile, ssl_keyfile or ssl_ca_certs can't be used: {error}") from error
    except (ImportError, ImportFromStringError) as error:
        raise StartupError(f"what loop, http or ws names can't be imported: {error}") from error
    except ValueError as error:
        raise StartupError(f"uvicorn refuses its settings: {error}") from error


def _announce(settings: Settings, application: Application, urls: list[str]) -> None:
    routes = list_routes(application.found)
    if limited_protocol(settings.http, settings.connection_limits) is None:
        _logger.warning(
            "http = %s has no limits of ours for heads, nor of the time for what is sent", settings.http
        )
    for warning in application.warnings + off_loop.kept_off(routes):
        _logger.warning(warning)
    for note in off_loop.hidden(routes, settings.app):
        _logger.info(note)
    _logger.info(
        "Serving %s on %s with %d %s%s",
        settings.app,
        ", ".join(urls),
        settings.worker_count,
        "worker" if settings.worker_count == 1 else "workers",
        "" if application.bridged else f" of {settings.threads} threads",
    )


def _serve(server: MainServer, sockets: list[socket.socket]) -> int:
    try:
        server.run(sockets)
    except OSError as error:
        if server.started:
            raise
        raise StartupError(f"can't listen: {error.strerror}") from error
    return 0 if server.started else STARTUP_FAILURE


def _reload(server: DrainingServer, sockets: list[socket.socket]) -> int:
    listener.listen(sockets, server.config.backlog)
    ChangeReload(server.config, target=server.run, sockets=sockets).run()
    return 0


def _supervise(server: WorkerServer, sockets: list[socket.socket], overview: Overview | None) -> int:
    listener.listen(sockets, server.config.backlog)

    def stop_listening() -> None:
        # The workers close the last descriptors, when nobody waits there any more.
        for sock in sockets:
            sock.close()

    def forget(pid: int) -> None:
        if overview is not None:
            overview.forget(pid)

    supervisor = Supervisor(
        server.settings, lambda replaced: Worker(server, sockets, replaced), stop_listening, forget
    )
    try:
        return supervisor.run()
    finally:
        supervisor.close()
