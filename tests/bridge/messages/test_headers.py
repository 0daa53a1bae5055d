# SPDX-License-Identifier: MIT
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashapp.bridge.messages.errors import RequestRejected
from ashapp.bridge.messages.headers import add_request_headers, encode_response_headers, environ_key

TOKEN = "!#$%&'*+-.^`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
names = st.text(TOKEN, min_size=1, max_size=20)
obs_text = st.characters(codec="latin-1", exclude_categories=["Cc"])


def environ_of(*headers: tuple[bytes, bytes], limit: int | None = 100) -> dict[str, Any]:
    environ: dict[str, Any] = {}
    add_request_headers(environ, headers, limit)
    return environ


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_two_names_share_a_key_only_if_they_differ_in_ascii_case(one: bytes, other: bytes) -> None:
    if environ_key(one) is not None and environ_key(one) == environ_key(other):
        assert one.lower() == other.lower()


@pytest.mark.parametrize(
    ("forged", "real"),
    [(b"x-pa\xdf", b"x-pass"), (b"x_user", b"x-user"), (b"x-\xe9", b"x-\xc9")],
)
def test_a_name_cannot_forge_another(forged: bytes, real: bytes) -> None:
    assert environ_of((real, b"proxy"), (forged, b"client"))[str(environ_key(real))] == "proxy"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([], {}, id="none"),
        pytest.param([(b"a", b"1"), (b"b", b"2")], {"HTTP_A": "1", "HTTP_B": "2"}, id="distinct"),
        pytest.param([(b"a", b"1"), (b"A", b"2"), (b"a", b"3")], {"HTTP_A": "1, 2, 3"}, id="repeated"),
        pytest.param([(b"cookie", b"a=1"), (b"cookie", b"b=2")], {"HTTP_COOKIE": "a=1; b=2"}, id="cookies"),
        pytest.param([(b"x-u", b"real"), (b"x_u", b"spoof")], {"HTTP_X_U": "real"}, id="underscore last"),
        pytest.param([(b"x_u", b"spoof"), (b"x-u", b"real")], {"HTTP_X_U": "real"}, id="underscore first"),
        pytest.param([(b"a", b"")], {"HTTP_A": ""}, id="empty"),
        pytest.param([(b"a", b""), (b"a", b"")], {"HTTP_A": ", "}, id="empty, repeated"),
        pytest.param([(b"a", b"\xe9\xff")], {"HTTP_A": "\xe9\xff"}, id="latin-1"),
        pytest.param([(b"content-length", b"0")], {"CONTENT_LENGTH": "0"}, id="length"),
        pytest.param(
            [(b"transfer-encoding", b"chunked")], {"HTTP_TRANSFER_ENCODING": "chunked"}, id="chunked"
        ),
    ],
)
def test_request_headers(headers: list[tuple[bytes, bytes]], expected: dict[str, str]) -> None:
    assert environ_of(*headers) == expected


@given(st.lists(st.tuples(st.sampled_from([b"a", b"A", b"b", b"cookie"]), st.binary(max_size=8))))
def test_no_value_is_lost_or_reordered(headers: list[tuple[bytes, bytes]]) -> None:
    environ = environ_of(*headers, limit=None)
    for name, separator in ((b"a", b", "), (b"b", b", "), (b"cookie", b"; ")):
        values = [value for key, value in headers if key.lower() == name]
        joined = environ.get(f"HTTP_{name.decode().upper()}")
        assert (None if joined is None else joined.encode("latin-1")) == (
            separator.join(values) if values else None
        )


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        pytest.param([(b"host", b"a"), (b"Host", b"a")], "Host is given more than once", id="host"),
        pytest.param([(b"content-length", b"1")] * 2, "content-length is given", id="length"),
        pytest.param([(b"content-type", b"a/b")] * 2, "content-type is given", id="type"),
        pytest.param([(b"content-length", b"")], "must be a number", id="no digits"),
        pytest.param([(b"content-length", b"-1")], "must be a number", id="negative"),
        pytest.param([(b"content-length", b"+1")], "must be a number", id="signed"),
        pytest.param([(b"content-length", b"1_0")], "must be a number", id="grouped"),
        pytest.param([(b"content-length", b"1, 1")], "must be a number", id="joined"),
        pytest.param([(b"content-length", b"\xb2")], "must be a number", id="superscript"),
        pytest.param(
            [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
            "both given",
            id="framed twice",
        ),
        pytest.param([(b"a", b"")] * 101, "101 of one name, 100 allowed", id="too many"),
    ],
)
def test_contradictory_headers_are_rejected(headers: list[tuple[bytes, bytes]], told: str) -> None:
    with pytest.raises(RequestRejected, match=told) as caught:
        environ_of(*headers)
    assert caught.value.status == 400
    assert told in caught.value.detail


@pytest.mark.parametrize(("count", "limit"), [(100, 100), (500, None), (500, 0), (1, 1)])
def test_repetitions_up_to_the_limit(count: int, limit: int | None) -> None:
    assert environ_of(*[(b"a", b"x")] * count, limit=limit)["HTTP_A"] == ", ".join("x" * count)


@pytest.mark.parametrize(
    ("header", "field"),
    [
        (("X-A", "1"), (b"x-a", b"1")),
        (("X-A", ""), (b"x-a", b"")),
        (("X-A", "\xe9\xff\xa0"), (b"x-a", b"\xe9\xff\xa0")),
        (("X-A", "a\tb"), (b"x-a", b"a\tb")),
        (("!#$%&'*+-.^_`|~09", "a"), (b"!#$%&'*+-.^_`|~09", b"a")),
        (("Connection", "close"), (b"connection", b"close")),
        (("Connection", " Close "), (b"connection", b"Close")),
        (("Proxy-Authenticate", "Basic"), (b"proxy-authenticate", b"Basic")),
        (("Connection", "keep-alive"), None),
        (("Connection", "close, x-secret"), None),
        (("Keep-Alive", "timeout=5"), None),
        (("TE", "trailers"), None),
        (("Trailer", "x"), None),
        (("Trailers", "x"), None),
        (("Transfer-Encoding", "chunked"), None),
        (("Upgrade", "h2c"), None),
    ],
)
def test_response_header(header: tuple[str, str], field: tuple[bytes, bytes] | None) -> None:
    assert encode_response_headers([header]) == ([] if field is None else [field])


@given(st.lists(st.tuples(names.map("x-".__add__), st.text(obs_text))))
def test_response_headers_keep_their_order_and_bytes(headers: list[tuple[str, str]]) -> None:
    expected = [(name.lower().encode(), value.encode("latin-1").strip()) for name, value in headers]
    assert encode_response_headers(headers) == expected


@pytest.mark.parametrize(
    ("header", "error", "told"),
    [
        (("", "x"), ValueError, "not a token"),
        (("a b", "x"), ValueError, "not a token"),
        (("a:", "x"), ValueError, "not a token"),
        (("a\n", "x"), ValueError, "not a token"),
        (("\xe9", "x"), ValueError, "not a token"),
        (("a", "x\r\ny: z"), ValueError, "control character"),
        (("a", "x\n"), ValueError, "control character"),
        (("a", "\0"), ValueError, "control character"),
        (("a", "\x7f"), ValueError, "control character"),
        (("a", "\u20ac"), ValueError, "latin-1"),
        (("a", "\u2028"), ValueError, "latin-1"),
        (("a", "\ud800"), ValueError, "latin-1"),
        ((b"a", "x"), TypeError, "both must be str"),
        (("a", b"x"), TypeError, "both must be str"),
        (("a", None), TypeError, "both must be str"),
        (("a", 5), TypeError, "both must be str"),
    ],
)
def test_malformed_response_header(header: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        encode_response_headers([("x-before", "1"), header])


@given(st.text(max_size=20))
def test_no_response_header_splits_the_response(value: str) -> None:
    try:
        fields = encode_response_headers([("a", value)])
    except ValueError:
        return
    assert not set(fields[0][1]) & (set(range(32)) - {9} | {127})
