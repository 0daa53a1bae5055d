# SPDX-License-Identifier: MIT
"""Serve the control socket, in the main process, on a thread that waits for the kernel alone."""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ashapp.bridge.messages.types import WsgiApplication
from ashapp.server.control.board import Control
from ashapp.server.control.folder import connect, make_control_folder
from ashapp.server.control.pages import ControlPages
from ashapp.server.errors import StartupError
from ashapp.server.management.server import STALLED, SocketServer
from ashapp.server.management.workers import Workers
from ashapp.server.settings import Settings

__all__ = ["serving"]

_log = logging.getLogger("ashapp.server")

_BACKLOG = 16


@contextlib.contextmanager
def serving(settings: Settings, workers: Workers | None, control: Control | None) -> Iterator[None]:
    """Serve the control socket until the block ends. *control* is None where there is no supervisor.

    Raises:
        StartupError: the socket that the settings name can't be had.

    """
    path = _path(settings.control_socket)
    if path is None:
        yield
        return
    pages = ControlPages(workers, control, settings.stall_timeout or STALLED)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_running(path, pages))
        except OSError as error:
            if settings.control_socket != "auto":
                raise StartupError(f"control_socket = {str(path)!r}: {error.strerror or error}") from error
            _log.debug("There is no control socket: %s", error)
        yield


def _path(setting: str) -> Path | None:
    """Return where the socket is to be; None for nowhere. A user without a folder of their own has none."""
    if setting == "off" or not hasattr(socket, "AF_UNIX"):
        return None
    if setting != "auto":
        return Path(setting)
    try:
        return make_control_folder() / f"{os.getpid()}.sock"
    except OSError as error:
        _log.debug("There is no control socket: %s", error)
        return None


@contextlib.contextmanager
def _running(path: Path, application: WsgiApplication) -> Iterator[None]:
    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
        connect(path).close()
        raise FileExistsError(f"another service answers at {path}")
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as sock:
        before = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        sock.listen(_BACKLOG)
        server = _Server(sock, application)
        threading.Thread(target=server.serve, name="ashapp-control", daemon=True).start()
        try:
            yield
        finally:
            server.is_ending = True
            with contextlib.suppress(OSError):
                connect(path).close()  # which ends the wait for a connection
            path.unlink(missing_ok=True)


class _Server(SocketServer):
    address_family = socket.AF_UNIX
    is_ending = False

    def serve(self) -> None:
        """Answer one connection after the other, each on a thread, until the end."""
        while not self.is_ending:
            self.handle_request()

    def get_request(self) -> Any:
        """Accept a connection; its peer has no address."""
        return super().get_request()[0], ("unix", 0)
