# SPDX-License-Identifier: MIT
"""Clients outside the cluster, who keep their connections and do not forgive one failed request."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.cluster import Cluster
from tests.cluster.sessions import Sessions
from tests.support.network.load import POST, Load

__all__ = ["Traffic", "traffic"]

ASYNC = b"GET /async HTTP/1.1\r\nHost: localhost\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Traffic:
    """Short requests on 16 connections, on a hundred that are mostly idle, on four such as outlast a drain.

    Beside them there are WebSockets and streams.
    """

    def __init__(self, cluster: Cluster) -> None:
        address = cluster.address
        self.short = Load(address, 16, POST, pause=0.05)
        self.idle = Load(address, 100, ASYNC, pause=2)
        self.slow = Load(address, 4, SLOW)
        self.sessions = Sessions(address)

    @property
    def answered(self) -> int:
        return self.short.answered + self.idle.answered + self.slow.answered

    @property
    def failures(self) -> list[str]:
        return self.short.failures + self.idle.failures + self.slow.failures + self.sessions.failures

    @property
    def generations(self) -> set[str]:
        """Who has answered."""
        return {body.decode() for body in self.short.bodies | self.idle.bodies | self.slow.bodies}

    def goes_on(self, requests: int) -> None:
        """Wait until *requests* have been answered, counted from the beginning."""
        deadline = time.monotonic() + 600
        while self.answered < requests and not self.failures:
            assert time.monotonic() < deadline, f"only {self.answered} requests in ten minutes"
            time.sleep(0.1)


@contextmanager
def traffic(cluster: Cluster, title: str) -> Iterator[Traffic]:
    """Send requests while the block runs, and print how many there were and how many have failed."""
    traffic = Traffic(cluster)
    started = time.monotonic()
    try:
        with traffic.short, traffic.idle, traffic.slow, traffic.sessions:
            yield traffic
    finally:
        sent = traffic.answered + len(traffic.failures)
        seconds = time.monotonic() - started
        sessions = traffic.sessions
        print(
            f"\n{title}: {sent} requests sent, {len(traffic.failures)} failed, in {seconds:.0f} s; "
            f"{sessions.messages} messages, {sessions.events} events and {sessions.streams} whole streams, "
            f"{sessions.departures} times told to leave",
            file=sys.stderr,
        )
