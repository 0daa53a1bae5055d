# SPDX-License-Identifier: MIT
"""What the servers are asked for."""

from dataclasses import dataclass

from tests.benchmarks.apps import CHUNK, CHUNKS, SLEEP

__all__ = ["WORKLOADS", "Workload"]


@dataclass(frozen=True)
class Workload:
    """One request, repeated on ``connections`` keep-alive connections; a POST if it has a ``body`` (JSON)."""

    name: str
    title: str
    path: str
    connections: int = 16
    body: str | None = None


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("hello", "sync view, a small JSON answer", "/hello"),
        Workload("async", "`async def` view, a small JSON answer", "/async"),
        Workload("stream", f"sync generator, {CHUNKS} chunks of {len(CHUNK)} bytes", "/stream"),
        Workload(
            "post",
            "sync view, a small JSON body in and out",
            "/echo",
            body='{"items":[1,2,3],"name":"hello","nested":{"on":true}}',
        ),
        Workload("sleep", f"sync view that sleeps {SLEEP} s", "/sleep", connections=32),
    )
}
