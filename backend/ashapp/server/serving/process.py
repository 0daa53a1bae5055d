# SPDX-License-Identifier: MIT
"""The steps of a process that serves, the same in each mode: alone, as a worker, or reloaded.

Theory of operation. Only the process that serves the application imports it. So the effects of an import (it
may start a scheduler, bind a port, take a lock) happen once in each worker. It is imported before there is an
event loop, so that the import may run one of its own. An application may replace functions (``asyncio.run``
above all), so these are looked up before.
"""

import contextlib
import gc
import socket

from uvicorn.config import LOOP_FACTORIES
from uvicorn.importer import ImportFromStringError, import_from_string

from ashapp.bridge.concurrency.threads.thread_locals import isolate_thread_locals
from ashapp.observe.logs.lines import write_before_exit
from ashapp.server.assembly import gevent_patches
from ashapp.server.assembly.application import Application, assemble, load
from ashapp.server.errors import StartupError
from ashapp.server.operating_system.kept_descriptors import kept_from_children
from ashapp.server.operating_system.sockets import url
from ashapp.server.serving.announcements import Kind, Tell, announcements
from ashapp.server.serving.draining_server import DrainingServer
from ashapp.server.worker_status.workers import Workers

__all__ = ["prepare", "serve"]


def serve(server: DrainingServer, sockets: list[socket.socket], workers: Workers | None, tell: Tell) -> None:
    """Import the application, announce it, and serve it on *sockets* until the end.

    Raises:
        StartupError: the application can't be loaded, or not be served so.
    """
    with kept_from_children(lambda: [sock.fileno() for sock in sockets]):
        application = prepare(server, workers)
        urls = [url(sock, tls=server.config.is_ssl) for sock in sockets]
        for kind, line in announcements(application.found, server.settings, application.warnings, urls):
            tell(kind, line)
        if application.debugger is not None:
            tell(Kind.NOTE, f"Debugger PIN: {application.debugger.pin or 'off, so no code is run'}")
        # Before there is a loop, which the import would block.
        gc.collect()
        server.run(sockets)


def prepare(server: DrainingServer, workers: Workers | None) -> Application:
    """Import for *server* the application and all else that the settings name.

    Raises:
        StartupError: the application can't be loaded, or not be served so.
    """
    settings, config = server.settings, server.config
    # Before anything of the application runs.
    write_before_exit()
    if settings.thread_locals == "request":
        isolate_thread_locals()
    gevent_patches.limit()
    with contextlib.suppress(ImportError, ImportFromStringError):  # that is told of below
        if config.loop in LOOP_FACTORIES:
            # uvloop keeps asyncio's task as it finds it: before an application replaces that (nest_asyncio).
            config.get_loop_factory()
    application = load(settings)
    config.app = assemble(application.found, settings, server.health, workers, application.mounted)
    if application.debugger is not None:
        config.app = application.debugger.in_front_of(config.app)
    if gevent_patches.are_limited() and settings.loop is None:
        config.loop = "asyncio"
    _load(server)
    return application


def _load(server: DrainingServer) -> None:
    """Load what the configuration names, such as TLS files and protocols."""
    config = server.config
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
