# SPDX-License-Identifier: MIT
import json

from ashapp.server.protocols.messages.refusal import Refusal


def test_the_response_is_a_problem_that_ends_the_connection() -> None:
    refusal = Refusal(431, "Too much.")
    assert str(refusal) == "Too much."
    head, _, body = refusal.response().partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 431 Request Header Fields Too Large",
        b"content-type: application/problem+json",
        b"content-length: %d" % len(body),
        b"connection: close",
    ]
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Request Header Fields Too Large",
        "status": 431,
        "detail": "Too much.",
    }


def test_headers_of_the_server_are_sent_but_none_twice() -> None:
    headers = [(b"date", b"today"), (b"Connection", b"close"), (b"content-type", b"text/plain")]
    head = Refusal(400, "").response(headers).partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
    assert names == [b"date", b"content-type", b"content-length", b"connection"]
