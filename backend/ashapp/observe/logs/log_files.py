# SPDX-License-Identifier: MIT
"""Reopens log files that another program has moved away, as logrotate does."""

import contextlib
import logging

__all__ = ["reopen_log_files"]


def reopen_log_files() -> int:
    """Let each handler of the `logging` module that writes to a file open it anew; return how many do.

    A handler opens its file at the next line when it has no stream.
    """
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    handlers = {handler for logger in loggers for handler in logger.handlers}
    files = [handler for handler in handlers if isinstance(handler, logging.FileHandler)]
    for handler in files:
        handler.acquire()
        try:
            stream, handler.stream = handler.stream, None
            if stream is not None:
                with contextlib.suppress(OSError):  # the disk is full
                    stream.close()
        finally:
            handler.release()
    return len(files)
