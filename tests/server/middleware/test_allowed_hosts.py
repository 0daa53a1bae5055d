# SPDX-License-Identifier: MIT
from collections.abc import Iterable
from typing import Any

import pytest

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.server.health.state import Health
from ashapp.server.middleware.allowed_hosts import AllowedHosts
from ashapp.server.middleware.front import Front
from tests.support.asgi import Client, http_scope


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


async def ask(patterns: Iterable[str], host: bytes | None, **entries: Any) -> Client:
    scope = http_scope(**entries)
    scope["headers"] = [(b"accept", b"*/*")] + ([(b"host", host)] if host is not None else [])
    client = Client()
    front = Front(answer, Health(), {}, hosts=AllowedHosts(patterns))
    await front(scope, client.receive, client.send)
    return client


#: Patterns, hosts that fit one of them, and hosts that do not.
HOSTS: list[tuple[str, list[bytes | None], list[bytes | None]]] = [
    (
        "example.com",
        [b"example.com", b"EXAMPLE.com:8443", b"example.com.", b"example.com.:80", b"example.com:"],
        [
            *(b"www.example.com", b"example.com.evil.example", b"evil-example.com", b"example.com:80:80"),
            *(b"user@example.com", b"example.com/", b" example.com", b"\xe9xample.com", b"", None),
        ],
    ),
    (".example.org", [b"example.org", b"www.example.org", b"a.b.example.org:81"], [b"wwwexample.org"]),
    ("example.com .example.org", [b"x.example.org"], []),
    ("127.0.0.1 [::1]", [b"127.0.0.1:5000", b"[::1]:5000"], [b"[::2]"]),
]


@pytest.mark.parametrize(("patterns", "allowed", "others"), HOSTS)
async def test_a_host_fits_a_pattern_or_is_refused(
    patterns: str, allowed: list[bytes | None], others: list[bytes | None]
) -> None:
    asked = {host: (await ask(patterns.split(), host)).status for host in [*allowed, *others]}
    assert asked == {**dict.fromkeys(allowed, 204), **dict.fromkeys(others, 400)}


async def test_the_refusal_is_problem_details_that_repeat_nothing() -> None:
    client = await ask(["example.com"], b"evil.example")
    assert client.headers["content-type"] == "application/problem+json"
    assert b"evil" not in client.body
    assert client.complete


async def test_a_websocket_is_closed_before_it_opens() -> None:
    client = await ask(["example.com"], b"evil.example", type="websocket")
    assert [message["type"] for message in client.sent] == ["websocket.close"]
    assert (await ask(["example.com"], b"example.com", type="websocket")).sent == []


async def test_none_of_several_hosts_may_be_another() -> None:
    scope = http_scope(headers=[(b"host", b"evil.example"), (b"host", b"example.com")])
    assert not AllowedHosts(["example.com"]).allow(scope)
