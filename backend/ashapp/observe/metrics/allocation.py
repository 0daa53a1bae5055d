# SPDX-License-Identifier: MIT
"""Make a file longer so that there is room for each of its bytes, or not at all."""

import os

__all__ = ["write_whole"]


def write_whole(fd: int, position: int, data: bytes) -> None:
    """Write all of *data* to the file *fd* at *position*; leave it as long as it was if there is no room.

    Raises:
        OSError: there is no room.

    """
    size = os.fstat(fd).st_size
    os.lseek(fd, position, os.SEEK_SET)
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
    except OSError:
        os.ftruncate(fd, size)
        raise
