# SPDX-License-Identifier: MIT
from typing import Any

import pytest

from ashapp.server.protocols.messages.default_headers import DefaultHeaders
from tests.server.protocols.conftest import ServeLimited
from tests.support.client import fetch

DEFAULT = [(b"date", b"now"), (b"server", b"uvicorn"), (b"connection", b"close"), (b"vary", b"origin")]


@pytest.mark.parametrize(
    ("own", "left"),
    [
        ([], DEFAULT),
        ([(b"content-type", b"text/plain")], DEFAULT),
        ([(b"date", b"then")], DEFAULT[1:]),
        ([(b"a", b"b"), (b"date", b"then"), (b"server", b"shop")], DEFAULT[2:]),
        ([(b"connection", b"keep-alive"), (b"vary", b"cookie")], DEFAULT),
    ],
)
def test_what_may_be_there_once_is_left_to_the_application(
    own: list[tuple[bytes, bytes]], left: list[tuple[bytes, bytes]]
) -> None:
    assert DefaultHeaders(DEFAULT) + own == [*left, *own]


def test_no_response_has_a_field_twice(serve: ServeLimited) -> None:
    own = [(b"date", b"Sun, 06 Nov 1994 08:49:37 GMT"), (b"server", b"shop"), (b"content-length", b"0")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = own if scope["path"] == "/own" else own[2:]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b""})

    address = serve(app)
    head = fetch(address, "/own").head
    assert head.one("date") == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert head.one("server") == "shop"
    head = fetch(address, "/other").head
    assert head.one("date") not in {None, "Sun, 06 Nov 1994 08:49:37 GMT"}
    assert head.one("server") == "uvicorn"
