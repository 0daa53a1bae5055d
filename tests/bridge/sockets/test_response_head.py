# SPDX-License-Identifier: MIT
"""Rules 6 and 10: the status and the fields of a response."""

import pytest

from ashapp.bridge import WsgiToAsgi
from tests.support.adapters import Adapter, stock_fails, stock_passes
from tests.support.applications.wsgi import application
from tests.support.client import Connection, fetch
from tests.support.server import Serve, on_every_server


@stock_fails("a field outside ASCII is an error: 500", everywhere=True)
def test_latin_1_passes_in_the_fields_of_a_response(serve: Serve, adapter: Adapter) -> None:
    """Rule 10."""
    headers = [("X-A", "caf\xe9 \xff\x80"), ("X-B", "a\tb"), ("X-C", ""), ("Content-Length", "0")]
    response = fetch(serve(adapter(application(list, headers=headers))), "/")
    assert [response.head.one(f"x-{name}") for name in "abc"] == ["caf\xe9 \xff\x80", "a\tb", ""]


@on_every_server
def test_white_space_around_a_value_is_no_part_of_it(serve: Serve) -> None:
    """Rule 10. Through stock asgiref h11 refuses it, and the client gets no answer."""
    headers = [("X-A", " padded\t"), ("X-B", " "), ("Content-Length", "0")]
    response = fetch(serve(WsgiToAsgi(application(list, headers=headers))), "/")
    assert [response.head.one(f"x-{name}") for name in "ab"] == ["padded", ""]


@on_every_server
@pytest.mark.parametrize(
    "header",
    [("X-A", "1\r\nX-B: 2"), ("X-A", "1\n"), ("X-A: 1\r\nX-B", "2"), ("X A", "1"), ("X-A", "\u20ac")],
)
def test_a_field_can_not_split_the_response(serve: Serve, header: tuple[str, str]) -> None:
    """Rule 10. Through stock asgiref it is for the server to find out: httptools hangs up, h11 as well."""
    response = fetch(serve(WsgiToAsgi(application(list, headers=[header]))), "/")
    assert response.status == 500
    assert response.head.one("x-b") is None


@stock_passes()
def test_repeated_fields_stay_apart(serve: Serve, adapter: Adapter) -> None:
    """Rule 10."""
    cookies = ["a=1; Path=/", "b=2", "a=1; Path=/"]
    call = application(list, headers=[("Set-Cookie", cookie) for cookie in cookies])
    assert fetch(serve(adapter(call)), "/").head.all("set-cookie") == cookies


@stock_fails("it takes a status without a reason for a mistake: 500")
@pytest.mark.parametrize("status", ["404"])
def test_a_status_needs_no_reason(serve: Serve, adapter: Adapter, status: str) -> None:
    """Rule 6."""
    assert fetch(serve(adapter(application(list, status))), "/").status == 404


@stock_passes(everywhere=True)
@pytest.mark.parametrize("status", ["404 ", "404 Caf\xe9", "404 Not Found", "599 Unheard of"])
def test_a_reason_may_be_any_text(serve: Serve, adapter: Adapter, status: str) -> None:
    """Rule 6. It does not reach the client: ASGI has no place for it."""
    assert fetch(serve(adapter(application(list, status))), "/").status == int(status[:3])


@pytest.mark.parametrize(
    "status", ["", "OK", "100 Continue", "099 Low", "600 High", "2000 OK", "200\r\nX: y"]
)
def test_a_status_that_is_none_is_an_error(serve: Serve, status: str) -> None:
    """Rule 6. Stock asgiref passes numbers on, for the server to choke on them."""
    assert fetch(serve(WsgiToAsgi(application(list, status))), "/").status == 500


@on_every_server
def test_an_application_may_close_the_connection(serve: Serve) -> None:
    """Rule 10. Other fields that belong to the connection are dropped. Stock asgiref passes all of them."""
    headers = [
        ("Connection", "close"),
        ("Keep-Alive", "timeout=5"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "2"),
    ]
    with Connection(serve(WsgiToAsgi(application(lambda: [b"ok"], headers=headers)))) as connection:
        response = connection.request("GET", "/")
        assert response.body == b"ok"
        assert response.head.one("connection") == "close"
        assert (response.head.one("keep-alive"), response.head.one("transfer-encoding")) == (None, None)
        assert connection.is_closed()
