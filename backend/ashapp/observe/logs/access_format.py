# SPDX-License-Identifier: MIT
r"""The access log in a form of the user's choice: chosen fields as JSON, or a line as gunicorn writes it.

A format with a ``%`` is a line. Its atoms are gunicorn's, as in ``%(h)s`` and ``%({user-agent}i)s``. Those
that mean the same to Apache may be written its way: ``%h``, ``%>s``, ``%{User-Agent}i``. ``%%`` is a percent
sign. Any other format is a list of fields with commas between them.

What comes from a client is escaped as in a JSON string: quotes, backslashes, and all but printable ASCII. In
atoms that stand without quotes, spaces are escaped too. So no client can add a line or a column.
Query strings, also in the referer, are logged only where that is asked for: they may hold secrets.
"""

import base64
import json
import os
import re
import time
from collections.abc import Callable
from functools import partial
from json.encoder import encode_basestring_ascii

from ashapp.observe.logs.lines import AccessLine
from ashapp.observe.observation import Observation

__all__ = ["FIELDS", "check_format", "is_line_format", "line_of_format"]

#: The fields that may be chosen.
FIELDS = (
    *("timestamp", "level", "logger", "event", "method", "path", "query", "route", "status", "bytes"),
    *("duration_ms", "queued_ms", "place", "client", "request_id", "trace_id", "span_id"),
    *("user_agent", "referer", "disconnected", "error"),
    *("close_code", "sent_messages", "received_messages", "received_bytes"),
)

# Returns the text of an atom, for an observation that has ended at a time, with the query string or without.
_Atom = Callable[[Observation, float, bool], str]

_PIECE = re.compile(
    r"%(?:(%)|\((\w|\{[\w-]+\}i)\)s|>?([a-zA-Z])|(\{[\w-]+\}i))|([^%]+)|(%.{0,12})", re.DOTALL
)


def is_line_format(text: str) -> bool:
    """Tell whether *text* is the format of a line, and not a list of fields."""
    return "%" in text


def check_format(text: str) -> str:
    """Return *text* if it is a format; raise ``ValueError`` with what is allowed if it is none."""
    _pieces(text) if is_line_format(text) else _names(text)
    return text


def line_of_format(text: str, as_json: AccessLine, *, query: bool) -> AccessLine:
    """Return what makes lines in the format *text*; *as_json* makes those whose fields are chosen from.

    A field that doesn't apply is left out. *query* true shows query strings, which may hold secrets.

    Raises:
        ValueError: *text* is no format.
    """
    if is_line_format(text):
        pieces = _pieces(text)

        def make_line(observation: Observation, now: float) -> str:
            shown = [piece if isinstance(piece, str) else piece(observation, now, query) for piece in pieces]
            return f"{''.join(shown)}\n"

        return make_line
    names = _names(text)

    def make_json(observation: Observation, now: float) -> str:
        told = json.loads(as_json(observation, now))
        for name, header in (("user_agent", "user-agent"), ("referer", "referer")):
            if (value := _header(header, observation, query=query)) is not None:
                told[name] = value
        return f"{json.dumps({name: told[name] for name in names if name in told}, separators=(',', ':'))}\n"

    return make_json


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if wrong := [name for name in names if name not in FIELDS]:
        raise ValueError(
            f"{wrong[0]!r} is no field of the access log; choose from {', '.join(FIELDS)}, "
            "or write a line with atoms such as %(h)s"
        )
    return names


def _pieces(text: str) -> list[str | _Atom]:
    pieces: list[str | _Atom] = []
    if not text.isprintable():
        raise ValueError("a line of the access log must have no line breaks and control characters")
    for match in _PIECE.finditer(text):
        percent, atom, apache, header, plain, _ = match.groups()
        name = atom or header or (apache if apache and apache in _APACHE else None)
        if percent or plain:
            pieces.append(percent or plain)
        elif name and name.startswith("{"):
            pieces.append(partial(_header_atom, name[1:-2].lower()))
        elif name in _ATOMS:
            pieces.append(_ATOMS[name])
        else:
            raise ValueError(
                f"{match[0]!r} is no atom of the access log; allowed are %(x)s with x one of "
                f"{' '.join(_ATOMS)}, %({{header}}i)s for a header of the request, "
                f"%x with x one of {' '.join(_APACHE)}, %{{header}}i, and %%"
            )
    return pieces


def _escaped(text: str) -> str:
    return encode_basestring_ascii(text)[1:-1]


def _word(text: str) -> str:
    return _escaped(text).replace(" ", "\\u0020")


def _header(name: str, observation: Observation, *, query: bool) -> str | None:
    wanted = name.encode("ascii")
    values = [value for key, value in observation.scope["headers"] if key == wanted]
    if not values:
        return None
    text: str = b", ".join(values).decode("latin-1")
    return text if query or name != "referer" else re.split(r"[?#]", text, maxsplit=1)[0]


def _header_atom(name: str, observation: Observation, now: float, query: bool) -> str:  # noqa: ARG001, FBT001
    value = _header(name, observation, query=query)
    return "-" if value is None else _escaped(value)


def _user(observation: Observation) -> str:
    """Return the user name of Basic authentication (RFC 7617). Nobody has checked it."""
    scheme, _, given = (_header("authorization", observation, query=False) or "").partition(" ")
    if scheme.lower() != "basic":
        return "-"
    try:
        name = base64.b64decode(given.strip(), validate=True).partition(b":")[0]
    except ValueError:
        return "-"
    return _word(name.decode("utf-8", "replace")) or "-"


def _query(observation: Observation, *, query: bool) -> str:
    return _word(observation.query) if query else ""


def _method(observation: Observation) -> str:
    return _word(observation.scope.get("method", "GET"))


def _protocol(observation: Observation) -> str:
    return f"HTTP/{_word(observation.scope.get('http_version', '1.1'))}"


def _request_line(observation: Observation, *, query: bool) -> str:
    scope = observation.scope
    raw = scope.get("raw_path")
    path = _word(scope["path"] if raw is None else raw.decode("latin-1"))
    asked = _query(observation, query=query)
    return f"{_method(observation)} {path}{'?' if asked else ''}{asked} {_protocol(observation)}"


def _micros(observation: Observation) -> int:
    return int(observation.duration * 1e6 + 0.5)


_ATOMS: dict[str, _Atom] = {
    "h": lambda seen, *_: _word((seen.scope.get("client") or ["-"])[0]) or "-",
    "l": lambda *_: "-",
    "u": lambda seen, *_: _user(seen),
    "t": lambda _, now, __: time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(now)),
    "r": lambda seen, _, query: _request_line(seen, query=query),
    "m": lambda seen, *_: _method(seen),
    "U": lambda seen, *_: _word(seen.scope["path"]),
    "q": lambda seen, _, query: _query(seen, query=query),
    "H": lambda seen, *_: _protocol(seen),
    "s": lambda seen, *_: "-" if seen.status is None else str(seen.status),
    "B": lambda seen, *_: str(seen.sent),
    "b": lambda seen, *_: str(seen.sent or "-"),
    "f": partial(_header_atom, "referer"),
    "a": partial(_header_atom, "user-agent"),
    "T": lambda seen, *_: str(int(seen.duration)),
    "M": lambda seen, *_: str(_micros(seen) // 1000),
    "D": lambda seen, *_: str(_micros(seen)),
    "L": lambda seen, *_: f"{_micros(seen) / 1e6:.6f}",
    "p": lambda *_: f"<{os.getpid()}>",
}
# The atoms that mean the same to Apache.
_APACHE = "hlurtmUqHsBbTD"
