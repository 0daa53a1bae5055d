# SPDX-License-Identifier: MIT
import io
from typing import Any
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashapp.bridge.messages.environ import (
    body_is_announced,
    build_environ,
    environ_template,
    expects_continue,
)
from ashapp.bridge.messages.errors import RequestRejected
from tests.support.asgi import http_scope

TEMPLATE = environ_template({}, multithread=True, multiprocess=False)


def environ_of(*args: Any, **entries: Any) -> dict[str, Any]:
    return build_environ(http_scope(*args, **entries), io.BytesIO(), TEMPLATE, 100)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"scheme": "https"}, {"wsgi.url_scheme": "https", "HTTPS": "on", "SERVER_PORT": "8000"}),
        ({"scheme": ""}, {"wsgi.url_scheme": "http", "HTTPS": None}),
        ({"http_version": "1.0"}, {"SERVER_PROTOCOL": "HTTP/1.0"}),
        ({"http_version": "2"}, {"SERVER_PROTOCOL": "HTTP/2.0"}),
        ({"http_version": "3"}, {"SERVER_PROTOCOL": "HTTP/3.0"}),
        ({"http_version": "4.2"}, {"SERVER_PROTOCOL": "HTTP/4.2"}),
        ({"client": None}, {"REMOTE_ADDR": "", "REMOTE_PORT": None}),
        ({"client": ("2001:db8::1", 0)}, {"REMOTE_ADDR": "2001:db8::1", "REMOTE_PORT": "0"}),
        ({"server": None}, {"SERVER_NAME": "localhost", "SERVER_PORT": "80"}),
        ({"server": None, "scheme": "https"}, {"SERVER_NAME": "localhost", "SERVER_PORT": "443"}),
        ({"server": ("/run/app.sock", None)}, {"SERVER_NAME": "localhost", "SERVER_PORT": "80"}),
        ({"server": ("::1", 5000)}, {"SERVER_NAME": "::1", "SERVER_PORT": "5000"}),
        ({"query_string": b"\xff&a=\xc3\xa9"}, {"QUERY_STRING": "\xff&a=\xc3\xa9"}),
    ],
)
def test_environ_of_other_scopes(entries: dict[str, Any], expected: dict[str, Any]) -> None:
    environ = environ_of(**entries)
    assert {key: environ.get(key) for key in expected} == expected


def test_entries_that_only_a_transport_in_the_process_can_give_are_merged() -> None:
    entries = {"wsgi.errors": io.StringIO(), "test.key": object(), "REMOTE_USER": "me"}
    environ = environ_of(extensions={"wsgi.environ": entries, "other": {"X": 1}})
    own = {name: environ[name] for name in ("asgi.scope", "wsgi.input")}
    assert environ == {**environ_of(), **entries, **own}


def test_environ_of_the_least_scope() -> None:
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/"}
    environ = build_environ(scope, io.BytesIO(), TEMPLATE, 100)
    assert environ["PATH_INFO"] == environ["REQUEST_URI"] == "/"
    assert environ["QUERY_STRING"] == environ["SCRIPT_NAME"] == environ["REMOTE_ADDR"] == ""
    assert all(isinstance(environ[key], str) for key in environ if key.isupper())


@given(path=st.binary(), query=st.binary(), errors=st.sampled_from(["replace", "surrogateescape"]))
def test_paths_and_queries_pass_byte_for_byte(path: bytes, query: bytes, errors: str) -> None:
    path = b"/" + path
    raw_path = quote_from_bytes(path).encode()
    environ = environ_of(
        path=unquote(raw_path.decode(), errors=errors), raw_path=raw_path, query_string=query
    )
    assert environ["PATH_INFO"].encode("latin-1") == path
    assert environ["QUERY_STRING"].encode("latin-1") == query
    uri, _, behind = environ["REQUEST_URI"].encode("latin-1").partition(b"?")
    assert (unquote_to_bytes(uri), behind) == (path, query)


@pytest.mark.parametrize(
    ("method", "version", "headers", "announced"),
    [
        ("GET", "1.1", [], False),
        ("POST", "1.1", [], False),
        ("POST", "1.0", [], False),
        ("POST", "1.1", [(b"content-length", b"0")], False),
        ("POST", "1.1", [(b"content-length", b"000")], False),
        ("POST", "1.1", [(b"content-length", b"10")], True),
        ("GET", "1.1", [(b"content-length", b"1")], True),
        ("GET", "1.1", [(b"transfer-encoding", b"chunked")], True),
        ("GET", "2", [], False),
        ("HEAD", "3", [], False),
        ("POST", "2", [], True),
        ("DELETE", "3", [], True),
        ("POST", "2", [(b"content-length", b"0")], False),
        ("GET", "2", [(b"content-length", b"1")], True),
    ],
)
def test_body_is_announced(
    method: str, version: str, headers: list[tuple[bytes, bytes]], *, announced: bool
) -> None:
    assert body_is_announced(environ_of(method, b"/", headers, http_version=version)) is announced


@pytest.mark.parametrize("coding", [b"Chunked", b"chunked \t"])
def test_a_chunked_body_is_understood(coding: bytes) -> None:
    assert body_is_announced(environ_of(headers=[(b"transfer-encoding", coding)]))


@pytest.mark.parametrize("codings", [[b"gzip, chunked"], [b"gzip", b"chunked"], [b"identity"], [b""]])
def test_other_transfer_codings_are_not(codings: list[bytes]) -> None:
    environ = environ_of(headers=[(b"transfer-encoding", coding) for coding in codings])
    with pytest.raises(RequestRejected, match="'chunked'") as rejection:
        body_is_announced(environ)
    assert rejection.value.status == 501


@pytest.mark.parametrize(
    ("value", "expected"), [(b"100-continue", True), (b"100-Continue", True), (b"other", False), (b"", False)]
)
def test_expects_continue(value: bytes, *, expected: bool) -> None:
    assert expects_continue(environ_of(headers=[(b"expect", value)])) is expected
    assert expects_continue(environ_of()) is False
