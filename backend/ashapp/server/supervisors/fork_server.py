# SPDX-License-Identifier: MIT
"""Fork workers off a process that has imported what they need, and nothing of the application.

Theory of operation. Imports, of Flask, uvicorn and this package, take most of the time of a start, and most
of the memory of a worker. So they are done once. Later a supervisor has threads, handlers, sockets and a
channel to each worker, and no worker should inherit these. So it forks itself before it has any of them. That
process, the fork server (``multiprocessing`` has one by that name), only waits: to fork a worker, and to tell
how one has ended. So each worker begins as clean as the first, even after months. In each fork the call that
started the fork server returns, as if the worker had been started there.

Descriptors go to a worker as SCM_RIGHTS (unix(7)). The fork server ends with its supervisor; workers end by
themselves. The garbage collector leaves the objects before the first fork alone, so that their memory stays
shared.
"""

import contextlib
import errno
import gc
import os
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from multiprocessing.connection import wait

from ashapp.server.errors import StartupError
from ashapp.server.operating_system.signals import noting

__all__ = ["Child", "ForkServer", "start_fork_server"]

# Signals to a group of processes, as from a terminal, reach the fork server too.
_SIGNALS = (
    *(signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP),
    *(signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGUSR2),
)

# A process id, or a negative error number; an exit code, negative for a signal.
_NUMBER = struct.Struct("q")
# SCM_MAX_FD of Linux.
_MOST = 253
_LOST = 255


class Child:
    """A process that the fork server has forked. *sentinel*, a descriptor, can be read when it has ended."""

    def __init__(self, pid: int, sentinel: int) -> None:
        self.pid = pid
        self.sentinel = sentinel
        os.set_blocking(sentinel, False)
        #: None while it runs, negative for a signal, 255 if nobody knows.
        self.exitcode: int | None = None

    def is_alive(self) -> bool:
        """Return whether it has not ended."""
        if self.exitcode is None:
            with contextlib.suppress(BlockingIOError):
                told = os.read(self.sentinel, _NUMBER.size)
                os.close(self.sentinel)
                self.exitcode = _NUMBER.unpack(told)[0] if told else _LOST
        return self.exitcode is None

    def send_signal(self, signum: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def join(self) -> None:
        """Wait until it has ended."""
        if self.exitcode is None:
            wait([self.sentinel])
            self.is_alive()


class ForkServer:
    """The fork server as its supervisor knows it; `start_fork_server` makes it."""

    def __init__(self, pid: int, orders: socket.socket) -> None:
        self._pid = pid
        self._orders = orders
        self._environ = dict(os.environ)

    def variables(self) -> dict[str, str]:
        """Return the variables of the environment that have been set since it was started."""
        return {name: value for name, value in os.environ.items() if self._environ.get(name) != value}

    def fork(self, descriptors: Sequence[int]) -> Child:
        """Fork a process that gets copies of *descriptors*.

        Raises:
            OSError: there is no memory, or there are too many processes or descriptors.
            StartupError: the fork server was killed.
        """
        sentinel, theirs = os.pipe()
        try:
            socket.send_fds(self._orders, [b"f"], [theirs, *descriptors])
            told = self._orders.recv(_NUMBER.size)
        except ConnectionError:
            told = b""
        finally:
            os.close(theirs)
        number = _NUMBER.unpack(told)[0] if told else 0
        if number > 0:
            return Child(number, sentinel)
        os.close(sentinel)
        if not told:
            raise StartupError("the process that workers are forked from was killed: the service ends")
        raise OSError(-number, os.strerror(-number))

    def close(self) -> None:
        """End it. Its forks go on."""
        self._orders.close()
        os.waitpid(self._pid, 0)


def start_fork_server() -> ForkServer | list[int]:
    """Return the fork server in this process. In each process that it forks, return its descriptors.

    To be called while this process has one thread and nothing that workers must not have.
    """
    ours, theirs = socket.socketpair()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # there is none
            stream.flush()
    gc.collect()
    gc.freeze()
    pid = os.fork()
    if pid:
        theirs.close()
        return ForkServer(pid, ours)
    ours.close()
    with theirs:
        return _tend(theirs)


def _tend(orders: socket.socket) -> list[int]:
    """Fork at each order, and return in each fork. The fork server itself ends with its supervisor."""
    before = {signum: signal.getsignal(signum) for signum in _SIGNALS}
    with noting(_SIGNALS) as (woken, _):
        descriptors = _wait(orders, woken)
    for signum, handler in before.items():
        signal.signal(signum, handler)
    return descriptors


def _wait(orders: socket.socket, woken: socket.socket) -> list[int]:
    ends: dict[int, int] = {}
    while True:
        ready = wait([orders, woken])
        with contextlib.suppress(BlockingIOError):
            woken.recv(4096)
        _tell_ends(ends)
        if orders not in ready:
            continue
        order, descriptors, *_ = socket.recv_fds(orders, 1, _MOST)
        if not order:
            os._exit(0)
        try:
            pid = os.fork()
        except OSError as error:
            pid = -(error.errno or errno.EAGAIN)
        if pid == 0:
            for descriptor in (descriptors[0], *ends.values()):
                os.close(descriptor)
            return _own(descriptors[1:])
        if pid > 0:
            ends[pid] = descriptors.pop(0)
        for descriptor in descriptors:
            os.close(descriptor)
        orders.send(_NUMBER.pack(pid))


def _tell_ends(ends: dict[int, int]) -> None:
    for pid, end in list(ends.items()):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            with contextlib.suppress(BrokenPipeError):
                os.write(end, _NUMBER.pack(os.waitstatus_to_exitcode(status)))
            os.close(ends.pop(pid))


def _own(descriptors: list[int]) -> list[int]:
    """Keep received *descriptors* from programs that this process executes (PEP 446)."""
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - of the standard library
    return descriptors
