# SPDX-License-Identifier: MIT
"""A fork server that is no fork of the test run: ``python -m`` this module, with FD JOB [FLAGS].

What it forks does the job: it serves, or it tells the descriptor that it was given what it has inherited.
"""

import errno
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import uvicorn

from ashapp.server.settings.loading import load
from ashapp.server.supervisors import fork_server
from ashapp.server.supervisors.fork_server import ForkServer
from ashapp.server.supervisors.worker_process import work

__all__ = ["started"]


@contextmanager
def started(job: str, **flags: Any) -> Iterator[ForkServer]:
    """Run a fork server whose forks do *job*."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "tests.server.supervisors.forked", str(theirs.fileno()), job]
    with theirs:
        process = subprocess.Popen([*command, json.dumps(flags)], pass_fds=[theirs.fileno()])
    made = ForkServer(process.pid, ours)
    try:
        yield made
    finally:
        made.close()
        process.returncode = 0  # it has been waited for


def _open_descriptors() -> dict[int, str]:
    # The one by which the folder is read has been closed when it is looked up.
    paths = list(Path("/proc/self/fd").iterdir())
    return {int(path.name): str(path.readlink()) for path in paths if os.path.lexists(path)}


def _report(descriptors: list[int], before: set[int]) -> None:
    found = {
        "descriptors": {
            fd: told for fd, told in _open_descriptors().items() if fd not in before.union(descriptors)
        },
        "inheritable": [fd for fd in descriptors if os.get_inheritable(fd)],
        "handled": [
            int(signum)
            for signum in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}
            if signal.getsignal(signum) not in {signal.SIG_DFL, signal.default_int_handler, None}
        ],
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "wakeup": signal.set_wakeup_fd(-1),
        "threads": threading.active_count(),
        "random": random.random(),
    }
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    with os.fdopen(descriptors[0], "w") as report:
        json.dump(found, report)
    signal.sigwait([signal.SIGTERM])


def _fail() -> NoReturn:
    raise BlockingIOError(errno.EAGAIN, "no more processes")


def main(fd: str, job: str, flags: str) -> int:
    """Be a fork server, and then what it has forked."""
    if job == "fail":
        os.fork = _fail
    # A library may keep a descriptor from its import on, as some builds of libffi do.
    before = set(_open_descriptors()) - {int(fd)}
    with socket.socket(fileno=int(fd)) as orders:
        descriptors = fork_server._tend(orders)
    if job == "work":
        settings = load(json.loads(flags))
        return work(uvicorn.Config(settings.app, log_config=None, interface="asgi3"), settings, descriptors)
    if job == "report":
        _report(descriptors, before)
    if job == "wait":
        signal.pause()
    return 7


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
