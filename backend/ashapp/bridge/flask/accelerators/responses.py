# SPDX-License-Identifier: MIT
# ruff: noqa: SLF001 - see ``flask/patches.py``
"""Response objects of what most views return: text, bytes, and what becomes JSON.

Theory of operation. Flask makes a response in many steps: headers, the type of the content, the status and
the length. For the same class with the same defaults all of it is the same but for the body and its length.
So Flask makes one response, which is kept as a template, and later ones get a copy of what that has. A class
of the application's own, or one whose methods are replaced, is left to Flask, and so is a JSON provider.

``json.dumps`` makes two encoders for each call, one in Python and one in C. Here that in C alone is made, and
kept.
"""

import json
from collections.abc import Callable
from json import encoder as encoders
from typing import Any

import flask
from flask.app import Flask
from flask.json.provider import DefaultJSONProvider
from werkzeug.datastructures import Headers

from ashapp.bridge.flask.accelerators.originals import AllOriginals, Originals

__all__ = ["PLAIN", "RESPONSE_CLASSES", "Responses"]

#: What most views return, and needs nothing done before Flask takes it.
PLAIN = frozenset({bytes, dict, list, str})


def _look() -> tuple[Any, ...]:
    return (
        flask.Response.__init__,
        flask.Response.set_data,
        DefaultJSONProvider.response,
        DefaultJSONProvider.dumps,
        Headers.__init__,
    )


_MAKE = Originals("flask.app.Flask", "make_response")
#: What is not called.
RESPONSE_CLASSES = AllOriginals(
    _look,
    Originals("werkzeug.wrappers.response.Response", "__init__", "set_data"),
    Originals("flask.json.provider.DefaultJSONProvider", "response", "dumps"),
    Originals("werkzeug.datastructures.headers.Headers", "__init__"),
)
# Those of a provider, and of Python.
_METHODS = frozenset({"response", "dumps"})
_dumps, _encoder_class = json.dumps, json.JSONEncoder

# What values that JSON does not know become, whether to escape, sort and be compact.
_Options = tuple[Any, bool, bool, bool]
_SAMPLE: Any = {"é": [1, 1.5, None, True, {}], "a": "b"}

# What a response object has.
_FIELDS = {"headers", "response", "direct_passthrough", "_status", "_status_code", "_on_close"}


class Responses:
    """Makes responses of *app*, equal to Flask's; *replacement* is what it has for ``make_response``."""

    def __init__(self, app: Flask, replacement: Callable[..., flask.Response]) -> None:
        self._app = app
        self._attributes = vars(app)
        self._replacement = replacement
        # By the type of the content and the defaults of the class.
        self._templates: dict[tuple[Any, ...], _Template | None] = {}
        # Its options, and what encodes by them.
        self._encoder: tuple[_Options, Callable[[Any], bytes]] | None = None

    def make_response(self, value: dict[Any, Any] | list[Any] | str | bytes) -> flask.Response | None:
        """Return the response for *value*, which is of exactly one of these types, or None to leave it."""
        is_known = (type(self._app).make_response,) == _MAKE.methods and RESPONSE_CLASSES.still_hold()
        return self._make(value) if is_known else None

    def make_next(self, value: Any) -> flask.Response | None:
        """Return the response for *value*, of any type, or None to leave it.

        Only for a request for which ``RESPONSE_CLASSES`` holds.
        """
        if type(value) not in PLAIN or self._attributes.get("make_response") != self._replacement:
            return None
        return self._make(value)

    def _make(self, value: dict[Any, Any] | list[Any] | str | bytes) -> flask.Response | None:
        app, kind = self._app, flask.Response
        if app.response_class is not kind:
            return None
        body, mimetype = value, None
        if type(value) is str:
            body = value.encode()
        elif type(value) is not bytes:
            provider: Any = app.json
            encode = self._encoder_of(provider)
            if encode is None:
                return None
            body, mimetype = encode(value), provider.mimetype
        key = (mimetype, kind.default_mimetype, kind.default_status, kind.automatically_set_content_length)
        try:
            template = self._templates[key]
        except KeyError:
            template = self._templates[key] = _template(kind(b"", mimetype=mimetype))
        return None if template is None else template.respond(body)

    def _encoder_of(self, provider: Any) -> Callable[[Any], bytes] | None:
        """Return what encodes as *provider* does, or None where that is not as Flask, and Python, has it."""
        is_own = type(provider) is DefaultJSONProvider and _METHODS.isdisjoint(vars(provider))
        if not is_own or json.dumps is not _dumps or json.JSONEncoder is not _encoder_class:
            return None
        compact = provider.compact
        is_compact = not self._app.debug if compact is None else compact is not False
        options = (provider.default, provider.ensure_ascii, provider.sort_keys, is_compact)
        encoder = self._encoder
        if encoder is None or encoder[0] != options:
            encoder = self._encoder = options, _encoder(options)
        return encoder[1]


class _Template:
    """What responses of one type have in common: that of *made*, which Flask has made."""

    def __init__(self, made: flask.Response) -> None:
        self._content_type = "Content-Type", made.headers["Content-Type"]
        self._status, self._status_code = made.status, made.status_code

    def respond(self, body: Any) -> flask.Response:
        headers = Headers.__new__(Headers)
        headers._list = [self._content_type, ("Content-Length", str(len(body)))]
        # One by one: an object that is given a dict takes longer.
        response = flask.Response.__new__(flask.Response)
        response.headers = headers
        response._status = self._status
        response._status_code = self._status_code
        response.direct_passthrough = False
        response._on_close = []
        response.response = [body]
        return response


def _encoder(options: _Options) -> Callable[[Any], bytes]:
    """Return what encodes by *options*, as Flask does by ``json.dumps``."""
    default, ensure_ascii, sort_keys, is_compact = options
    made = json.JSONEncoder(
        default=default,
        ensure_ascii=ensure_ascii,
        sort_keys=sort_keys,
        indent=None if is_compact else 2,
        separators=(",", ":") if is_compact else None,
    )
    text = encoders.encode_basestring_ascii if ensure_ascii else encoders.encode_basestring
    rest = (default, text, None, ":", ",", sort_keys, False, True)
    make: Any = vars(encoders).get("c_make_encoder")
    spare: list[Any] = []

    def encode_as_made(value: Any) -> bytes:
        return f"{made.encode(value)}\n".encode()

    def encode(value: Any) -> bytes:
        # One that is used is not there for others, nor is one that has failed: its dict has the containers
        # around the one that is encoded, to find circles.
        try:
            encoder = spare.pop()
        except IndexError:
            encoder = make({}, *rest)
        parts = encoder(value, 0)
        spare.append(encoder)
        return "".join((*parts, "\n")).encode()

    try:
        is_same = is_compact and encode(_SAMPLE) == encode_as_made(_SAMPLE)
    except TypeError:  # what makes encoders in C takes something else, or is not there
        is_same = False
    return encode if is_same else encode_as_made


def _template(made: flask.Response) -> _Template | None:
    """Return the template for responses such as *made*, or None if that has something else."""
    names = [name for name, _ in made.headers]
    is_known = vars(made).keys() == _FIELDS and names == ["Content-Type", "Content-Length"]
    return _Template(made) if is_known else None
