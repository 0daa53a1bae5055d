# SPDX-License-Identifier: MIT
"""Clients outside the cluster, who keep their connections and do not forgive one failed request."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.cluster import Cluster
from tests.support.network.load import POST, Load

__all__ = ["Traffic", "traffic"]

SLOW = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Traffic:
    """Short requests on 16 connections, and on four such as outlast the time that a pod drains."""

    def __init__(self, cluster: Cluster) -> None:
        address = cluster.address
        self.short = Load(address, 16, POST, pause=0.05)
        self.slow = Load(address, 4, SLOW)

    @property
    def answered(self) -> int:
        return self.short.answered + self.slow.answered

    @property
    def failures(self) -> list[str]:
        return self.short.failures + self.slow.failures

    @property
    def generations(self) -> set[str]:
        """Who has answered."""
        return {body.decode() for body in self.short.bodies | self.slow.bodies}

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
        with traffic.short, traffic.slow:
            yield traffic
    finally:
        sent = traffic.answered + len(traffic.failures)
        seconds = time.monotonic() - started
        print(
            f"\n{title}: {sent} requests sent, {len(traffic.failures)} failed, in {seconds:.0f} s",
            file=sys.stderr,
        )
