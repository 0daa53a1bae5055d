# SPDX-License-Identifier: MIT
"""Flask without a server: its own WSGI application, called in this process, one request after the other."""

import io
import time
from typing import Any

from werkzeug.test import EnvironBuilder

from tests.benchmarks.load import Load
from tests.benchmarks.servers.apps import Workload, app

__all__ = ["call_for"]


def call_for(seconds: float, workload: Workload) -> tuple[Load, float]:
    """Call the application for so many *seconds*; return what was answered, and the CPU time for it."""
    body = (workload.body or "").encode()
    builder = EnvironBuilder(
        workload.path, method="POST" if body else "GET", data=body, content_type="application/json"
    )
    environ = builder.get_environ()
    times: list[float] = []
    statuses: list[str] = []

    def start_response(status: str, *_: object) -> None:
        statuses.append(status)

    began, cpu = time.monotonic(), time.process_time()
    now = began
    while now < began + seconds:
        # The least that a server does: an environ of its own for each request, and all of the body.
        own: dict[str, Any] = {**environ, "wsgi.input": io.BytesIO(body)}
        answer: Any = app(own, start_response)  # type: ignore[arg-type]
        b"".join(answer)
        answer.close()
        times.append(-now + (now := time.monotonic()))
    used = time.process_time() - cpu
    p99 = sorted(times)[len(times) * 99 // 100]
    failed = sum(not status.startswith("200 ") for status in statuses)
    return Load(len(times), now - began, failed, 0, p99), used
