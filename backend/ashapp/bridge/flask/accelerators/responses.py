# SPDX-License-Identifier: MIT
# ruff: noqa: SLF001 - see ``flask/patches.py``
"""Makes response objects from the usual results of views: text, bytes, and values that become JSON.

Theory of operation. Flask makes a response in many steps: headers, the type of the content, the status and
the length. For the same class with the same defaults only the body and its length differ. So Flask makes one
response, which is kept as a template, and later responses get copies of its attributes. Classes of the
application, and classes with replaced methods, are left to Flask, and so are other JSON providers.

``json.dumps`` makes two encoders for each call, one in Python and one in C. Here only the one in C is made,
and it is kept.
"""

import json
from collections.abc import Callable
from json import encoder as encoders
from typing import Any

from flask.app import Flask
from flask.json.provider import DefaultJSONProvider
from flask.wrappers import Response
from werkzeug.datastructures import Headers

from ashapp.bridge.flask.accelerators.originals import Originals

__all__ = ["PLAIN", "RESPONSE_CLASSES", "Responses"]

#: Types of results that need no preparation for Flask.
PLAIN = frozenset({bytes, dict, list, str})

#: The methods that are not called.
RESPONSE_CLASSES = (
    Originals(Response, "__init__ set_data", 0x064B4E29, "werkzeug.wrappers.response"),
    Originals(DefaultJSONProvider, "response dumps", 0xB4235C4D),
    Originals(Headers, "__init__", 0xCB905B72),
)
# The methods of a provider, and of Python.
_METHODS = frozenset({"response", "dumps"})
_dumps, _encoder_class = json.dumps, json.JSONEncoder

# The default for other values, and whether to escape, to sort and to be compact.
_Options = tuple[Any, bool, bool, bool]
_SAMPLE: Any = {"é": [1, 1.5, None, True, {}], "a": "b"}

# The attributes of a response object.
_FIELDS = {"headers", "response", "direct_passthrough", "_status", "_status_code", "_on_close"}


class Responses:
    """Makes responses of *app*, equal to Flask's, for requests for which ``RESPONSE_CLASSES`` hold."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        # By the type of the content and the defaults of the class.
        self._templates: dict[tuple[Any, ...], _Template | None] = {}
        # Its options, and an encoder with them.
        self._encoder: tuple[_Options, Callable[[Any], bytes]] | None = None

    def make(self, value: Any) -> Response | None:
        """Return the response for *value*, of any type; None leaves it to Flask."""
        app = self._app
        if type(value) not in PLAIN or app.response_class is not Response:
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
        defaults = Response.default_mimetype, Response.default_status
        key = mimetype, *defaults, Response.automatically_set_content_length
        try:
            template = self._templates[key]
        except KeyError:
            template = self._templates[key] = _template(Response(b"", mimetype=mimetype))
        return None if template is None else template.respond(body)

    def _encoder_of(self, provider: Any) -> Callable[[Any], bytes] | None:
        """Return an encoder that does as *provider*; None if that is not Flask's, with Python's ``json``."""
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
    """The common part of responses of one type, taken from *made*, which Flask has made."""

    def __init__(self, made: Response) -> None:
        self._content_type = "Content-Type", made.headers["Content-Type"]
        self._status, self._status_code = made.status, made.status_code

    def respond(self, body: Any) -> Response:
        headers = Headers.__new__(Headers)
        headers._list = [self._content_type, ("Content-Length", str(len(body)))]
        # One by one: to set the whole dict takes longer.
        response = Response.__new__(Response)
        response.headers = headers
        response._status = self._status
        response._status_code = self._status_code
        response.direct_passthrough = False
        response._on_close = []
        response.response = [body]
        return response


def _encoder(options: _Options) -> Callable[[Any], bytes]:
    """Return a function that encodes by *options*, as Flask does with ``json.dumps``."""
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
        # An encoder in use is not in ``spare``, and one that has failed does not return: its dict has the
        # containers around the present one, to find circles.
        try:
            encoder = spare.pop()
        except IndexError:
            encoder = make({}, *rest)
        parts = encoder(value, 0)
        spare.append(encoder)
        return "".join((*parts, "\n")).encode()

    try:
        is_same = is_compact and encode(_SAMPLE) == encode_as_made(_SAMPLE)
    except TypeError:  # the maker of encoders in C takes other arguments, or is not there
        is_same = False
    return encode if is_same else encode_as_made


def _template(made: Response) -> _Template | None:
    """Return the template for responses such as *made*, or None if that has other attributes."""
    names = [name for name, _ in made.headers]
    is_known = vars(made).keys() == _FIELDS and names == ["Content-Type", "Content-Length"]
    return _Template(made) if is_known else None
