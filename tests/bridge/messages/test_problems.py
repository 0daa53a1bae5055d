# SPDX-License-Identifier: MIT
import json

import pytest

from ashapp.bridge.messages.problems import send_problem
from tests.support.asgi import Client


@pytest.mark.parametrize(
    ("status", "title", "detail"),
    [(400, "Bad Request", 'Host is given twice: "\u00e9"'), (503, "Service Unavailable", "")],
)
async def test_a_problem_is_complete(status: int, title: str, detail: str) -> None:
    client = Client()
    await send_problem(client.send, status, detail)
    assert client.complete
    assert client.status == status
    assert client.headers == {
        "content-type": "application/problem+json",
        "content-length": str(len(client.body)),
    }
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    assert json.loads(client.body) == problem
