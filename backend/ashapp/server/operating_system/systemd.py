# SPDX-License-Identifier: MIT
"""The interface to systemd: it passes sockets, and gets readiness and signs of life.

See sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3). Variables of the environment ask for each;
without them nothing is done. No library is needed: the protocols are a few variables and one datagram.
"""

import contextlib
import os
import socket
import time

__all__ = ["ServiceManager", "notify", "passed_descriptors"]

# The first descriptor that is passed (SD_LISTEN_FDS_START).
_FIRST = 3
_MICROSECONDS = 1_000_000
# Seconds that systemd has to take a message.
_PATIENCE = 1.0


def passed_descriptors() -> list[int]:
    """Return the descriptors of the sockets that systemd has started this process with.

    Processes that are started from here don't have them.
    """
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    descriptors = list(range(_FIRST, _FIRST + int(count)))
    for descriptor in descriptors:
        with contextlib.suppress(OSError):  # it is not open, which is told when it is to be used
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - of the standard library
    return descriptors


def notify(*states: str) -> bool:
    """Send systemd a message, as in ``notify("READY=1")``; return whether it wanted and got it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    # "@" stands for the zero byte of an abstract address (unix(7)).
    target = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(_PATIENCE)
        try:
            sock.sendto("\n".join(states).encode(), target)
        except OSError:  # nobody takes it
            return False
    return True


class ServiceManager:
    """Tells systemd the state of the service, and, with ``WatchdogSec=``, that this process lives."""

    def __init__(self) -> None:
        self._told = ""
        asked, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", str(os.getpid()))
        is_asked = asked.isdecimal() and int(asked) and pid == str(os.getpid())
        #: Seconds between two signs of life; None for none. Half of the time, as sd_watchdog_enabled(3) asks.
        self.interval = int(asked) / _MICROSECONDS / 2 if is_asked else None
        self._lived_at = float("-inf")

    def ready(self) -> None:
        """Tell once that the service is ready: after the start, or after it was `reloading`."""
        self._tell_once("READY=1")

    def reloading(self) -> None:
        """Tell that the service begins to replace its workers (``Type=notify-reload``)."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._told = "RELOADING=1"
        notify(self._told, f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Tell once that the service ends."""
        self._tell_once("STOPPING=1")

    def live(self) -> None:
        """Give a sign of life, where one is due. To be called often."""
        now = time.monotonic()
        if self.interval is not None and now - self._lived_at >= self.interval:
            self._lived_at = now
            notify("WATCHDOG=1")

    def _tell_once(self, state: str) -> None:
        if self._told != state:
            self._told = state
            notify(state)
