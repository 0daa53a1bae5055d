# SPDX-License-Identifier: MIT
"""Decodes what clients send: a JSON value, the fields and files of a form, the pairs of a query."""

import io
import json
import math
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from flask import request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import BadRequest
from werkzeug.formparser import FormDataParser

__all__ = ["MAX_JSON_DEPTH", "parse_form", "parse_json", "parse_urlencoded"]

T = TypeVar("T")

MAX_JSON_DEPTH = 100
"""How deep arrays and objects may be nested: a limit that does not depend on the interpreter's stack."""


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text (RFC 8259).

    Raises ``BadRequest`` for a text that is not valid, nested too deeply, or holds a number that Python can
    read but JSON cannot express (NaN, infinities).
    """
    try:
        value = json.loads(data, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise BadRequest(f"The body is not valid JSON: {error}.") from error
    if _depth(value) > MAX_JSON_DEPTH:
        raise _too_deep()
    return value


def parse_form(data: bytes) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    """Return the fields and files of a form of the current request's content type; none if it is no form.

    Files are kept in memory, not on disk, since the data is. Raises ``BadRequest`` for a multipart form that
    is not valid, ``RequestEntityTooLarge`` for one of too many parts.
    """
    if request.mimetype == "application/x-www-form-urlencoded":
        return parse_urlencoded(data), MultiDict()
    parser = FormDataParser(
        stream_factory=lambda *_args, **_kwargs: io.BytesIO(),
        max_form_parts=request.max_form_parts,
        silent=False,
    )
    try:
        _, fields, files = parser.parse(
            io.BytesIO(data), request.mimetype, len(data), request.mimetype_params
        )
    except ValueError as error:
        raise BadRequest(f"The body is not a valid form: {error}.") from error
    return _named(fields), _named(files)


def parse_urlencoded(data: bytes) -> MultiDict[str, str]:
    """Return the pairs of a query or a form (WHATWG URL, section 5.1).

    Bytes that are not UTF-8 become U+FFFD; Werkzeug's ``Request.args`` raises ``UnicodeDecodeError`` instead.
    """
    return MultiDict(parse_qsl(data.decode(errors="replace"), keep_blank_values=True))


def _named(parts: MultiDict[str, T]) -> MultiDict[str, T]:
    """Return *parts* with an empty name for a missing or unreadable one; Werkzeug has None."""
    return MultiDict((name or "", value) for name, value in parts.items(multi=True))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is out of range")
    return number


def _depth(value: Any) -> int:
    """Return how deep containers are nested, without recursion."""
    depth = 0
    level = [value]
    while containers := [node for node in level if isinstance(node, dict | list)]:
        depth += 1
        level = [
            child for node in containers for child in (node.values() if isinstance(node, dict) else node)
        ]
    return depth


def _too_deep() -> BadRequest:
    return BadRequest(f"The JSON body is nested more than {MAX_JSON_DEPTH} levels deep.")
