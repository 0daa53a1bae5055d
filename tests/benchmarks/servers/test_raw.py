# SPDX-License-Identifier: MIT
import asyncio
from typing import Any

import pytest

from tests.benchmarks.servers.apps import WORKLOADS, Workload
from tests.benchmarks.servers.apps import app as flask_app
from tests.benchmarks.servers.raw import app as raw_app


async def ask_raw(workload: Workload) -> tuple[int, str, bytes]:
    """Send the request straight to the ASGI application."""
    received = {"type": "http.request", "body": (workload.body or "").encode()}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return received

    async def send(message: Any) -> None:
        sent.append(message)

    await raw_app({"type": "http", "path": workload.path}, receive, send)
    start, *body = sent
    headers = dict(start["headers"])
    content = b"".join(message["body"] for message in body)
    assert not body[-1].get("more_body")
    assert headers.get(b"content-length") in {None, str(len(content)).encode()}
    return start["status"], headers[b"content-type"].decode(), content


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
async def test_raw_asgi_answers_what_flask_answers(workload: Workload) -> None:
    method = "POST" if workload.body else "GET"
    expected = await asyncio.to_thread(
        flask_app.test_client().open,
        workload.path,
        method=method,
        data=workload.body,
        content_type="application/json",
    )
    answer = expected.status_code, expected.content_type, expected.get_data()
    assert await ask_raw(workload) == answer
    assert expected.status_code == 200
