# SPDX-License-Identifier: MIT
"""``wsgi.file_wrapper`` (PEP 3333, "Optional Platform-Specific File Handling")."""

import os
import stat
from typing import Any
from wsgiref.util import FileWrapper

__all__ = ["BLOCK_SIZE", "file_wrapper"]

#: 64 KiB: what uvicorn, gunicorn and asyncio take for a full write buffer.
BLOCK_SIZE = 65536


def file_wrapper(file: Any, block_size: int = 8192) -> FileWrapper:
    """Return an iterable over *file* in blocks, closing it at the end.

    *block_size* (bytes) is a hint: a regular file is read in blocks of 64 KiB or more, a pipe
    or a socket as asked, because a larger read could wait for data that is not there yet.
    """
    return FileWrapper(file, max(block_size, BLOCK_SIZE) if _is_regular(file) else block_size)


def _is_regular(file: Any) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except Exception:
        return False
