# SPDX-License-Identifier: MIT
"""The management port: metrics and the state of each worker, for operators. Never public.

It is served by threads of the main process, so it answers while the loop of a worker is stalled, and in the
supervisor of several workers it speaks for all of them. It uses the standard library's server, as
prometheus-client does: its clients are a scraper or a person, not the public.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry

from ashapp.bridge.messages.types import WsgiApplication
from ashapp.observe.exporters import is_asked_for
from ashapp.server.management.pages import ManagementPages
from ashapp.server.operating_system.kept_descriptors import kept_from_children
from ashapp.server.operating_system.sockets import listen, tcp, url
from ashapp.server.settings.model import Settings
from ashapp.server.telemetry import if_asked_for
from ashapp.server.worker_status.shared_folder import make_shared_folder
from ashapp.server.worker_status.workers import LocalWorker, Workers

__all__ = ["STALLED", "answering", "serving"]

_FLAGS = ("--management-host", "--management-port")
_BACKLOG = 16
# Seconds that a client may be silent.
_PATIENCE = 10
# Seconds until it is tried again to accept a connection.
_PAUSE = 0.2
#: Seconds without a sign of life after which a worker counts as stalled, if it is not watched.
STALLED = 5.0


@contextmanager
def serving(settings: Settings) -> Iterator[tuple[Workers | None, list[str]]]:
    """Serve the management port until the block ends; yield the workers that it shows, and its URLs.

    If the port is off, and OpenTelemetry sends no metrics, there are neither. To be called before there are
    workers and before the application is imported: both look for the folder in which they count. Raises
    `StartupError` if the port can't be bound.
    """
    port = settings.management_port
    if port == "off" and not is_asked_for("METRICS", os.environ):
        yield None, []
        return
    with ExitStack() as stack:
        sockets = [] if port == "off" else tcp(settings.management_host, port, _FLAGS)
        for sock in sockets:
            stack.enter_context(sock)
        listen(sockets, _BACKLOG)
        has_workers = settings.supervisor or settings.reload
        workers: Workers = stack.enter_context(make_shared_folder()) if has_workers else LocalWorker()
        if settings.faults:
            from ashapp.server.fault_injection.board import FaultBoard  # noqa: PLC0415 - for those who use it

            workers.faults = FaultBoard()
        application = ManagementPages(workers, settings.stall_timeout or STALLED)
        stack.enter_context(_sending(application.registry))
        stack.enter_context(kept_from_children(lambda: [sock.fileno() for sock in sockets]))
        for sock in sockets:
            stack.enter_context(answering(sock, application, "ashapp-management"))
        yield workers, [url(sock) for sock in sockets]


def _sending(registry: CollectorRegistry) -> AbstractContextManager[object]:
    """Send the metrics by OpenTelemetry during the block, if its variables ask for that."""
    maker = "ashapp.observe.metrics.export:MetricsExport"
    return if_asked_for("METRICS", os.environ, maker, registry=registry) or nullcontext()


@contextmanager
def answering(sock: socket.socket, application: WsgiApplication, thread: str) -> Iterator[None]:
    """Serve *application* at *sock*, which listens, until the block ends.

    It is for a few clients, not for the public. A *thread* of this name waits for them.
    """
    server = _Server(sock, application)
    waiting = threading.Thread(target=server.serve, name=thread, daemon=True)
    waiting.start()
    try:
        yield
    finally:
        server.end()
        waiting.join()


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each connection on a thread of its own. It does not poll for its end."""

    daemon_threads = True

    def __init__(self, sock: socket.socket, application: WsgiApplication) -> None:
        name = sock.getsockname()
        address = ("localhost", 0) if isinstance(name, str) else name[:2]
        super().__init__(address, _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        self.server_name, self.server_port = address
        self.setup_environ()
        self.set_app(application)
        self._is_ending = False
        # Made at once: later there may be no descriptor left.
        self._knock = socket.socket(sock.family)

    def serve(self) -> None:
        """Answer one connection after the other until the end."""
        while not self._is_ending:
            self.handle_request()

    def end(self) -> None:
        """Let `serve` return, by a connection to itself. From another thread."""
        self._is_ending = True
        self._knock.settimeout(_PATIENCE)
        with self._knock, suppress(OSError):  # others wait already
            self._knock.connect(self.socket.getsockname())

    def get_request(self) -> Any:
        """Accept a connection. If no descriptor is left, wait a moment: the connection stays queued."""
        try:
            accepted, address = super().get_request()
        except OSError:
            time.sleep(_PAUSE)
            raise
        return accepted, address or ("unix", 0)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a new thread; on this one, if the system gives no more threads."""
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            self.process_request_thread(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors of connections."""


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def address_string(self) -> str:
        """Return the client's address, without asking the name server."""
        return str(self.client_address[0])
