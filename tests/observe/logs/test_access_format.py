# SPDX-License-Identifier: MIT
import json
import re
from typing import Any

import pytest

from ashapp.observe.logs.access_format import FIELDS, check_format, line_of_format
from ashapp.observe.logs.access_log import JsonLine
from ashapp.observe.observation import Observation
from tests.support.asgi import http_scope

NOW = 1783000000.25
COMBINED = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
HEADERS = [
    (b"user-agent", b"curl/8"),
    (b"referer", b"http://shop/a?token=secret"),
    (b"authorization", b"Basic Ym9iOnB3"),
    (b"x-a", b"1"),
    (b"x-a", b"2"),
]


def observation(headers: Any = HEADERS, target: bytes = b"/a%20b?token=1", **entries: Any) -> Observation:
    async def send(message: Any) -> None: ...

    seen = Observation(http_scope(target=target, headers=headers), send, lambda observation: None)
    seen.scope.update(entries)
    seen.status, seen.sent, seen.duration = 200, 12, 1.0123456
    return seen


def written(text: str, seen: Observation, *, query: bool = False) -> str:
    """Return the line in the format *text* of a request that was *seen*."""
    return line_of_format(text, JsonLine(), query=query)(seen, NOW)


@pytest.mark.parametrize(
    ("text", "query", "shown"),
    [
        ("%(h)s %(l)s %(u)s", False, "192.0.2.1 - bob"),
        ("%(m)s %(U)s %(q)s %(H)s", True, "GET /a\\u0020b token=1 HTTP/1.1"),
        ("%(m)s|%(q)s|", False, "GET||"),
        ('"%(r)s"', True, '"GET /a%20b?token=1 HTTP/1.1"'),
        ('"%(r)s"', False, '"GET /a%20b HTTP/1.1"'),
        ("%(s)s %(B)s %(b)s", False, "200 12 12"),
        ("%(T)s %(M)s %(D)s %(L)s", False, "1 1012 1012346 1.012346"),
        ("%(p)s", False, "<4711>"),
        ("%(f)s %(a)s", False, "http://shop/a curl/8"),
        ("%({Referer}i)s", True, "http://shop/a?token=secret"),
        ("%({x-a}i)s %({x-b}i)s 100%%", False, "1, 2 - 100%"),
        ("%h %>s %b %{User-Agent}i %D", False, "192.0.2.1 200 12 curl/8 1012346"),
    ],
)
def test_an_atom_shows_what_it_shows_with_gunicorn(
    text: str, *, query: bool, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getpid", lambda: 4711)
    assert written(text, observation(), query=query) == f"{shown}\n"


def test_the_combined_format_has_a_dash_for_what_is_not_there() -> None:
    seen = observation([], status=None, client=None)
    seen.status, seen.sent = None, 0
    line = written(COMBINED, seen)
    assert re.fullmatch(
        r'- - - \[\d\d/Jul/2026:\d\d:\d\d:40 [+-]\d{4}\] "GET /a%20b HTTP/1.1" - - "-" "-"\n', line
    )


@pytest.mark.parametrize(
    "evil",
    [b'a" 200 "', b"a\nb", b"a\r\x1b[2Jb", b"a\x85b", b'\\" x', b"a\x7fb"],
)
def test_no_client_forges_a_line_or_a_column(evil: bytes) -> None:
    told = evil.decode("latin-1")
    seen = observation([(b"user-agent", evil), (b"referer", evil)], path=f"/{told}", method=told)
    line = written('{"a":"%(a)s","f":"%(f)s","U":"%(U)s","m":"%(m)s"}', seen)
    assert line[:-1].isprintable()
    assert line.isascii()
    assert json.loads(line) == {"a": told, "f": told, "U": f"/{told}", "m": told}
    assert len(written("%(m)s %(U)s", seen).split(" ")) == 2


@pytest.mark.parametrize(
    ("given", "shown"),
    [(b"Basic ?", "-"), (b"Basic Og==", "-"), (b"Bearer Ym9i", "-"), (b"basic YSBiOng=", "a\\u0020b")],
)
def test_the_user_is_that_of_basic_authentication(given: bytes, shown: str) -> None:
    assert written("%(u)s", observation([(b"authorization", given)])) == f"{shown}\n"


def test_fields_are_chosen_in_their_order() -> None:
    line = written("status, user_agent,referer,path,query,error", observation())
    assert line == '{"status":200,"user_agent":"curl/8","referer":"http://shop/a","path":"/a b"}\n'


def test_each_field_of_the_whole_line_may_be_chosen() -> None:
    seen = observation()
    seen.disconnected, seen.failure = True, "OSError"
    seen.details = dict.fromkeys(["close_code", "sent_messages", "received_messages", "received_bytes"], 1)
    whole = JsonLine(query=True)
    line = line_of_format(",".join(FIELDS), whole, query=True)(seen, NOW)
    assert set(json.loads(line)) == set(FIELDS)
    told = set(json.loads(whole(seen, NOW)))
    assert told == set(FIELDS) - {"user_agent", "referer"}, "FIELDS and what JsonLine writes differ"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("%(x)s", r"'%\(x\)s' is no atom .* h l u t r m U q H s B b f a T M D L p"),
        ("%({etag}o)s", "is no atom"),
        ("%({PATH}e)s", "is no atom"),
        ("%(h)d", "is no atom"),
        ("%a", "'%a' is no atom"),
        ("100%", "'%' is no atom"),
        ("%(h)s\n", "no line breaks"),
        ("path,agent", "'agent' is no field .* user_agent"),
        ("", "'' is no field"),
    ],
)
def test_what_is_no_format_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_format(text)
