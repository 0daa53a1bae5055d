# SPDX-License-Identifier: MIT
"""Watches the files of a service, and tells which have changed.

uvicorn's reloader looks only each quarter of a second, and waits up to 1.6 seconds if other files of the
folder are written again and again. So only its filter is used.
"""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn
from uvicorn.supervisors.watchfilesreload import FileFilter
from watchfiles import watch

from ashapp.server.errors import describe

__all__ = ["FileWatcher"]

_log = logging.getLogger("ashapp.server")

# Milliseconds without a further change, after which changes are reported; ``--reload-delay`` sets them.
_STEP = 20
# Milliseconds between checks whether it should end.
_TIMEOUT = 100
# Seconds for its start.
_PATIENCE = 10


class FileWatcher:
    """Watches the files of *config*, and calls *tell* with those that change, on a thread of its own.

    The file that standard output or standard error is written to is left out.
    """

    def __init__(self, config: uvicorn.Config, tell: Callable[[list[Path]], object]) -> None:
        self._folders = config.reload_dirs
        self._matches = FileFilter(config)
        self._longest = max(int(config.reload_delay * 1000), _STEP)
        self._tell = tell
        self._ending = threading.Event()
        self._has_begun = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ashapp-watcher", daemon=True)

    def start(self) -> None:
        """Begin, and return when no change will be missed."""
        self._thread.start()
        self._has_begun.wait(_PATIENCE)

    def stop(self) -> None:
        """End, and wait for that."""
        self._ending.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            try:
                self._tell_changes()
            except (OSError, RuntimeError) as error:  # most often the system's limit of watched files
                _log.warning("Files are polled for changes, as the system does not report them: %s", error)
                self._tell_changes(force_polling=True)
        except Exception as error:  # the service is served all the same
            _log.error("Nothing is reloaded, as changes of files can't be seen: %s", describe(error))
        self._has_begun.set()

    def _tell_changes(self, *, force_polling: bool | None = None) -> None:
        changes_of = watch(
            *self._folders,
            watch_filter=lambda _, path: self._matches(Path(path)) and not _is_log(Path(path)),
            debounce=self._longest,
            step=_STEP,
            stop_event=self._ending,
            rust_timeout=_TIMEOUT,
            yield_on_timeout=True,
            ignore_permission_denied=True,
            force_polling=force_polling,
        )
        for changes in changes_of:
            self._has_begun.set()
            if changes:
                self._tell(sorted({Path(path) for _, path in changes}))


def _is_log(path: Path) -> bool:
    """Return whether *path* is the file that standard output or standard error is written to."""
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None and os.path.samestat(path.stat(), os.fstat(stream.fileno())):
                return True
    return False
