# SPDX-License-Identifier: MIT
"""Serves the control socket in the main process, on a thread of its own."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from ashapp.server.errors import StartupError
from ashapp.server.management.control_folder import make_control_folder
from ashapp.server.management.control_pages import Control, ControlPages
from ashapp.server.management.server import STALLED, answering
from ashapp.server.operating_system.kept_descriptors import kept_from_children
from ashapp.server.operating_system.sockets import SocketFile, unix
from ashapp.server.settings.model import Settings
from ashapp.server.settings.sources.addresses import UnixAddress
from ashapp.server.worker_status.workers import Workers

__all__ = ["serving"]

_log = logging.getLogger("ashapp.server")

_BACKLOG = 16


@contextlib.contextmanager
def serving(settings: Settings, workers: Workers | None, control: Control | None) -> Iterator[None]:
    """Serve the control socket until the block ends. *control* is None where there is no supervisor.

    Raises:
        StartupError: the socket of the settings can't be bound.
    """
    with contextlib.ExitStack() as stack:
        try:
            path = _path(settings.control_socket)
            if path is not None:
                sock = stack.enter_context(unix(UnixAddress(str(path), mode=0o600)))
                stack.enter_context(kept_from_children(lambda: [sock.fileno()]))
                if file := SocketFile.of(path):
                    stack.callback(file.remove)
                sock.listen(_BACKLOG)
                pages = ControlPages(workers, control, settings.stall_timeout or STALLED)
                stack.enter_context(answering(sock, pages, "ashapp-control"))
        except (OSError, StartupError) as error:
            if settings.control_socket != "auto":
                raise StartupError(f"control_socket = {settings.control_socket!r}: {error}") from error
            _log.debug("There is no control socket: %s", error)
        yield


def _path(setting: str) -> Path | None:
    """Return the path for the socket; None for no socket."""
    if setting == "off":
        return None
    return make_control_folder() / f"{os.getpid()}.sock" if setting == "auto" else Path(setting)
