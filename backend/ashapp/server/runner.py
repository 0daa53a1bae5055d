# SPDX-License-Identifier: MIT
"""Run uvicorn: one server in this process, or its supervisors over workers or reloaded ones."""

import copy
import functools
import logging
import signal
import socket
from typing import Any

import uvicorn
from uvicorn.config import LOG_LEVELS, LOGGING_CONFIG, LOOP_FACTORIES, STARTUP_FAILURE
from uvicorn.importer import ImportFromStringError, import_from_string
from uvicorn.supervisors import ChangeReload, Multiprocess

from ashapp.server import listener, off_loop
from ashapp.server.application import Application, assemble, create, load
from ashapp.server.errors import StartupError
from ashapp.server.routes import list_routes
from ashapp.server.settings import Settings

__all__ = ["run"]

_logger = logging.getLogger("ashapp.server")


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
    with listener.bound(settings) as sockets:
        config = _config(settings, reload=False)
        application = load(settings)
        config.app = functools.partial(assemble, application.found, settings)
        _load(config)
        _announce(settings, application, [listener.url(sock, tls=config.is_ssl) for sock in sockets])
        if settings.reload or settings.workers > 1:
            return _supervise(_config(settings, reload=settings.reload), sockets)
        return _serve(config, sockets)


def _config(settings: Settings, *, reload: bool) -> uvicorn.Config:
    options: dict[str, Any] = {"log_config": _log_config(settings), **settings.uvicorn_config()}
    if not reload:
        options = {name: value for name, value in options.items() if not name.startswith("reload")}
    try:
        return _Config(functools.partial(create, settings), factory=True, interface="asgi3", **options)
    except Exception as error:
        raise StartupError(f"uvicorn refuses its settings: {error}") from error


def _log_config(settings: Settings) -> dict[str, Any]:
    """Return uvicorn's logging configuration, with our loggers beside its own."""
    config = copy.deepcopy(LOGGING_CONFIG)
    level = LOG_LEVELS[settings.log_level]
    config["loggers"]["ashapp"] = {"handlers": ["default"], "level": level, "propagate": False}
    return config


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


def _serve(config: uvicorn.Config, sockets: list[socket.socket]) -> int:
    server = uvicorn.Server(config)
    # uvicorn raises the signal that ended it once more when it is done; an end on request is no failure.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, server.handle_exit)
    try:
        server.run(sockets)
    except OSError as error:
        if server.started:
            raise
        raise StartupError(f"can't listen: {error.strerror}") from error
    return 0 if server.started else STARTUP_FAILURE


def _supervise(config: uvicorn.Config, sockets: list[socket.socket]) -> int:
    listener.listen(sockets, config.backlog)
    if config.should_reload:
        ChangeReload(config, target=uvicorn.Server(config).run, sockets=sockets).run()
        return 0
    supervisor = Multiprocess(config, sockets=sockets)
    supervisor.run()
    failed = any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes)
    return STARTUP_FAILURE if failed else 0
