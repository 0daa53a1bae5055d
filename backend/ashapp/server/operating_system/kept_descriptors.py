# SPDX-License-Identifier: MIT
"""Keeps processes that an application forks from holding sockets of the service.

Theory of operation. A forked child has all descriptors of its parent, and may live for days. When the service
has ended, the child would keep its port, and not accept. A connection that the service has closed would look
open to its client. So in the child these descriptors refer to the null device. They are not closed: the child
has copies of the socket objects, which would close them a second time, when the number may belong to another
file.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["kept_from_children"]

# Each returns descriptors of this process.
_sources: list[Callable[[], Iterable[int]]] = []


@contextmanager
def kept_from_children(source: Callable[[], Iterable[int]]) -> Iterator[None]:
    """Keep the descriptors that *source* returns from children that are forked within the block.

    *source* is called in the child, on its only thread.
    """
    _sources.append(source)
    try:
        yield
    finally:
        _sources.remove(source)


def _release() -> None:
    if not _sources:
        return
    with suppress(OSError):  # no descriptor is left
        null = os.open(os.devnull, os.O_RDWR)
        for source in _sources:
            for descriptor in source():
                if descriptor >= 0:
                    os.dup2(null, descriptor, inheritable=False)
        os.close(null)
    _sources.clear()


os.register_at_fork(after_in_child=_release)
