# SPDX-License-Identifier: MIT
"""Handlers of signals, in the processes of the service and in those that an application starts.

Theory of operation. A program that a process executes inherits ignored signals (``SIG_IGN``), and a forked
child inherits handlers. So signals without an effect here are not ignored, but handled by a function that
only notes them. ``exec`` then restores their default, and a forked child gets the handlers back that there
were before. A handler of the application is called after ours, whenever it was installed: neither replaces
the other.
"""

import atexit
import contextlib
import faulthandler
import os
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, cast

__all__ = ["Handler", "failures", "handle", "is_on_terminal", "keep", "noted", "noting", "outlive"]

Handler = Callable[[int, FrameType | None], Any]

# Operators of WSGI servers send these to reopen logs, to upgrade programs and to change workers.
_OUTLIVED = {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU}
# A terminal sends these to jobs that it has lost, and to jobs in the background: at a terminal they have an
# effect.
_OF_TERMINAL = {signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU}

_noted: deque[signal.Signals] = deque()
_failures: deque[Exception] = deque()
_dispositions: dict[int, "_Disposition"] = {}


def outlive() -> None:
    """Let this process survive the signals that operators of WSGI servers send for other reasons.

    On the main thread. A signal with another disposition than the default keeps that. SIGABRT ends the
    process after the stacks of all threads have been written.
    """
    with contextlib.suppress(AttributeError, OSError, RuntimeError, ValueError):  # there is no standard error
        if not faulthandler.is_enabled():
            faulthandler.enable()
    # An interpreter that ends gives them their default, by which some stop the process.
    atexit.register(signal.pthread_sigmask, signal.SIG_BLOCK, _OUTLIVED)
    for signum in _OUTLIVED:
        is_of_terminal = signum in _OF_TERMINAL and is_on_terminal()
        if signal.getsignal(signum) is signal.SIG_DFL and not is_of_terminal:
            _dispositions[signum] = _Disposition(signum, _note, is_kept=False)


def noted() -> list[signal.Signals]:
    """Return the signals without an effect that have arrived since the last call."""
    return [_noted.popleft() for _ in range(len(_noted))]


def failures() -> list[Exception]:
    """Return what handlers of the application have raised since the last call."""
    return [_failures.popleft() for _ in range(len(_failures))]


def handle(signum: int, handler: Handler) -> None:
    """Let *handler* handle a signal; the application's own is called after it. On the main thread."""
    _dispositions[signum] = _Disposition(signum, handler, is_kept=True)


def keep() -> None:
    """Install again what `handle` has installed, if the application has installed a handler since.

    That is called after ours from then on. On the main thread; on others it does nothing.
    """
    if threading.current_thread() is threading.main_thread():
        for disposition in _dispositions.values():
            disposition.keep()


@contextlib.contextmanager
def noting(signums: Iterable[signal.Signals]) -> Iterator[tuple[socket.socket, deque[int]]]:
    """Note these signals, and give them no other effect; on the main thread.

    Yields a socket that can be read when a signal has arrived, and the signals that have arrived.
    """
    arrived: deque[int] = deque()
    woken, waker = socket.socketpair()
    with woken, waker:
        woken.settimeout(0)
        waker.settimeout(0)
        before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for signum in signums:
            signal.signal(signum, lambda signum, _: arrived.append(signum))
        try:
            yield woken, arrived
        finally:
            signal.set_wakeup_fd(before)


def is_on_terminal() -> bool:
    """Return whether this process was started at a terminal, and reads from it."""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


class _Disposition:
    """Installs *handler* for a signal, and calls the application's own handler after it."""

    def __init__(self, signum: int, handler: Handler, *, is_kept: bool) -> None:
        self._signum = signum
        self._handler = handler
        self._is_kept = is_kept
        self._handled: FrameType | None = None
        self._is_running = False
        self._before = _of_another(signum)
        signal.signal(signum, self)

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if not self._is_running:
            self._handler(signum, frame)
            self._is_running, self._handled = True, frame
            try:
                self._call_application(signum, frame)
            finally:
                self._is_running, self._handled = False, None
        elif frame not in {None, self._handled}:  # another signal; else the application's handler has called
            self._handler(signum, frame)

    def _call_application(self, signum: int, frame: FrameType | None) -> None:
        if _is_of_application(self._before):
            try:
                self._before(signum, frame)
            except (KeyboardInterrupt, SystemExit):  # the process ends already, or need not end
                pass
            except Exception as error:
                _failures.append(error)

    def _is_installed(self) -> bool:
        return signal.getsignal(self._signum) == self

    def keep(self) -> None:
        if self._is_kept and not self._is_installed():
            self._before = signal.getsignal(self._signum)
            signal.signal(self._signum, self)

    def reset(self) -> None:
        if self._is_installed():
            signal.signal(self._signum, signal.SIG_DFL if self._before is None else self._before)


def _of_another(signum: int) -> Any:
    """Return the handler that was installed before any of ours."""
    found = cast("Any", signal.getsignal(signum))
    return found._before if isinstance(found, _Disposition) else found  # noqa: SLF001 - of this module


def _is_of_application(handler: Any) -> bool:
    if not callable(handler) or handler is signal.default_int_handler:
        return False
    # asyncio.Runner's cancels the server's own task at the first Ctrl+C.
    owner = getattr(getattr(handler, "func", None), "__self__", None)
    return type(owner).__module__ != "asyncio.runners"


def _note(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - of a signal handler
    _noted.append(signal.Signals(signum))


class _Mask(threading.local):
    """The signals that a thread had blocked before it began to fork."""

    blocked: set[int | signal.Signals] = set()  # noqa: RUF012 - replaced, never changed


_mask = _Mask()


def _block() -> None:
    """Block signals during a fork: the interpreter of the child would lose them."""
    _mask.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _dispositions)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask.blocked)


def _reset_in_child() -> None:
    """Give a forked child the dispositions that it would have below another server.

    Also separate it from the socket by which signals wake the loop of its parent.
    """
    with contextlib.suppress(ValueError):  # of a thread that is not the main one, for the interpreter
        signal.set_wakeup_fd(-1)
        for disposition in _dispositions.values():
            disposition.reset()
    _dispositions.clear()
    _noted.clear()
    _unblock()


os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_reset_in_child)
