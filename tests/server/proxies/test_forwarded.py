# SPDX-License-Identifier: MIT
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashapp.server.proxies.forwarded import Forwarded, parse_forwarded, resolve
from ashapp.server.proxies.trusted import TrustedProxies

TRUSTED = TrustedProxies("10.0.0.0/8,2001:db8::/32")
CLIENT = "198.51.100.7"


def forwarded(trusted: TrustedProxies = TRUSTED, /, **fields: str | list[str]) -> Forwarded:
    """Resolve headers that are given by their names without ``X-Forwarded``; a list is of several lines."""
    headers = {
        (b"forwarded" if name == "forwarded" else b"x-forwarded-" + name.removesuffix("_").encode()): [
            line.encode("latin-1") for line in ([value] if isinstance(value, str) else value)
        ]
        for name, value in fields.items()
    }
    return resolve(headers, trusted.trusts)


def test_nothing_tells_nothing() -> None:
    assert forwarded() == Forwarded()


@pytest.mark.parametrize(
    ("value", "client"),
    [
        (CLIENT, (CLIENT, 0)),
        (f"  {CLIENT}  ", (CLIENT, 0)),
        (f"{CLIENT}:4711", (CLIENT, 4711)),
        (f"{CLIENT}:0", (CLIENT, 0)),
        (f"{CLIENT}:99999", (CLIENT, 0)),
        ("2001:db9::1", ("2001:db9::1", 0)),
        ("2001:DB9:0::1", ("2001:db9::1", 0)),
        ("[2001:db9::1]", ("2001:db9::1", 0)),
        ("[2001:db9::1]:4711", ("2001:db9::1", 4711)),
        ("::ffff:198.51.100.7", (CLIENT, 0)),
        # The client's own invention is left of what the proxies have added.
        (f"192.0.2.66, {CLIENT}", (CLIENT, 0)),
        (f"192.0.2.66, {CLIENT}, 10.0.0.2", (CLIENT, 0)),
        (f"10.0.0.66, {CLIENT}, 10.0.0.2, 10.0.0.3", (CLIENT, 0)),
        ([f"192.0.2.66, {CLIENT}", "10.0.0.2"], (CLIENT, 0)),
        (f"{CLIENT}, 10.0.0.2, 2001:db8::7", (CLIENT, 0)),
        # All are trusted: one of them is the client.
        ("10.0.0.1, 10.0.0.2", ("10.0.0.1", 0)),
        # What is no address ends the walk.
        ("unknown, 10.0.0.2", ("10.0.0.2", 0)),
        (f"{CLIENT}, nonsense, 10.0.0.2", ("10.0.0.2", 0)),
        ("unknown", None),
        ("", None),
        (",", None),
        ("198.51.100", None),
        ("[198.51.100.7", None),
        ("198.51.100.7:http", None),
        ("<script>", None),
        ("\xb2", None),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_not_trusted(
    value: str | list[str], client: tuple[str, int] | None
) -> None:
    assert forwarded(for_=value) == Forwarded(client=client)


def test_where_all_are_trusted_the_leftmost_is_the_client() -> None:
    assert forwarded(TrustedProxies("*"), for_=f"{CLIENT}, 203.0.113.1").client == (CLIENT, 0)


#: What a field may say, and what that means.
SAID: list[tuple[str, str, dict[str, Any]]] = [
    ("proto", "https", {"scheme": "https"}),
    ("proto", "HTTPS", {"scheme": "https"}),
    ("proto", "wss", {"scheme": "https"}),
    ("proto", "ws", {"scheme": "http"}),
    ("proto", "http, https", {"scheme": "https"}),
    *(("host", host, {"host": host}) for host in ("shop.example", "shop.example:8443", "[2001:db8::1]:8443")),
    ("port", "8443", {"port": 8443}),
    ("prefix", "/api", {"prefix": "/api"}),
    ("prefix", "/api/v1/", {"prefix": "/api/v1"}),
    ("prefix", "/caf%C3%A9", {"prefix": "/caf%C3%A9"}),
    ("prefix", "/", {"prefix": ""}),
    ("prefix", "", {"prefix": ""}),
    ("proto", "", {}),
    ("host", "evil example", {}),
    ("prefix", "/a b", {}),
]
#: What it may not say.
WRONG = {
    "proto": "ftp",
    "host": "evil.example/path user@evil.example",
    "port": "0 65536 123456 http \xb2",
    "prefix": (
        "api //evil.example /a//b /%2Fevil.example /a/../b /a/%2e%2e /./a /a%0D%0Ab /%5Cevil.example "
        "/\\evil.example /a?b"
    ),
}
NOTHING: list[tuple[str, str, dict[str, Any]]] = [
    (name, value, {}) for name, values in WRONG.items() for value in values.split()
]


@pytest.mark.parametrize(("name", "value", "expected"), [*SAID, *NOTHING])
def test_each_value_is_checked(name: str, value: str, expected: dict[str, Any]) -> None:
    assert forwarded(**{name: value}) == Forwarded(**expected)


@pytest.mark.parametrize(
    ("hops", "values", "value"),
    [
        ("192.0.2.66, 198.51.100.7, 10.0.0.2", "a, b, c", "b"),
        ("198.51.100.7, 10.0.0.2", "a, b, c", "c"),
        ("198.51.100.7, 10.0.0.2", "a", "a"),
        ("unknown", "a", "a"),
        ("unknown, unknown", "a, b", "b"),
    ],
)
def test_a_value_is_that_of_the_proxy_that_has_added_the_client(hops: str, values: str, value: str) -> None:
    assert forwarded(for_=hops, host=values).host == value


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", []),
        (" , ;; ,", []),
        ("for=192.0.2.43", [{"for": "192.0.2.43"}]),
        ("For=192.0.2.43;PROTO=https", [{"for": "192.0.2.43", "proto": "https"}]),
        (
            'for=192.0.2.43 , for="[2001:db8:cafe::17]:4711";by=_hidden',
            [{"for": "192.0.2.43"}, {"for": "[2001:db8:cafe::17]:4711", "by": "_hidden"}],
        ),
        ('host="a\\"b,;c\\\\"', [{"host": 'a"b,;c\\'}]),
        ('host=""', [{"host": ""}]),
        ("for=192.0.2.43:47011", [{"for": "192.0.2.43:47011"}]),
        ("; for=_x ;", [{"for": "_x"}]),
    ],
)
def test_forwarded_is_parsed(text: str, elements: list[dict[str, str]]) -> None:
    assert parse_forwarded(text) == elements


@pytest.mark.parametrize(
    "text", ["for", "for=", "=a", 'for="a', 'for="a"b', "for=a b", "for = a", "for=a;For=b", "for=a\n", "(=a"]
)
def test_what_is_malformed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Forwarded"):
        parse_forwarded(text)


@given(st.text(alphabet=st.sampled_from('for=host;,"\\ \t1.:[]a'), max_size=60))
def test_whatever_is_sent_is_parsed_or_refused(text: str) -> None:
    try:
        elements = parse_forwarded(text)
    except ValueError:
        return
    assert all(elements)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            f"for={CLIENT};proto=https;host=shop.example",
            {"client": (CLIENT, 0), "scheme": "https", "host": "shop.example"},
        ),
        (
            f'for=192.0.2.66;host=evil.example, for="{CLIENT}:4711";proto=https, for=10.0.0.2;host=i.example',
            {"client": (CLIENT, 4711), "scheme": "https", "host": "i.example"},
        ),
        (f"for={CLIENT}, for=unknown;proto=https", {"scheme": "https"}),
        ("proto=https", {"scheme": "https"}),
        (["for=192.0.2.66", f"for={CLIENT}"], {"client": (CLIENT, 0)}),
        ("for=_hidden;proto=gopher;host=a/b", {}),
    ],
)
def test_forwarded_is_walked_likewise(value: str | list[str], expected: dict[str, Any]) -> None:
    assert forwarded(forwarded=value) == Forwarded(**expected)


def test_forwarded_wins_unless_it_is_malformed() -> None:
    others = {"for_": "192.0.2.1", "proto": "https", "host": "other.example"}
    told = forwarded(forwarded=f"for={CLIENT}", port="8443", prefix="/api", **others)
    assert told == Forwarded(client=(CLIENT, 0), port=8443, prefix="/api")
    told = forwarded(forwarded=f"for={CLIENT};", **others)
    assert told == Forwarded(client=(CLIENT, 0))
    told = forwarded(forwarded=f"for={CLIENT} nonsense", **others)
    assert told == Forwarded(client=("192.0.2.1", 0), scheme="https", host="other.example")
