# SPDX-License-Identifier: MIT
"""Flask's URL adapter, bound once for each host and not again for each request.

``Flask.create_url_adapter`` derives server name, scheme, script name and subdomain of a request, which takes
a sixth of the time that Flask needs for a small view. These depend on a few entries of the environ, and
are the same in nearly all requests. So the adapter that Flask made is kept as a template, and
later requests get a copy with their own path, method and query. Whatever is out of the
ordinary (a subclass, a map that matches hosts, trusted hosts, an upgrade) is left to Flask.

Where the bridge has to know the endpoint before Flask does, it matches ``early``. The result waits in the
environ for the adapter that Flask asks for, so that nothing is matched twice. If a middleware has
changed the environ in the meantime, the result is dropped.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, MapAdapter, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from ashapp.bridge.types import Environ

__all__ = ["UrlAdapters"]

_MATCHED = "ashapp.matched"
_MATCHED_BY = (
    "REQUEST_METHOD",
    "PATH_INFO",
    "QUERY_STRING",
    "SCRIPT_NAME",
    "HTTP_HOST",
    "SERVER_NAME",
    "SERVER_PORT",
    "wsgi.url_scheme",
)

# Clients choose the Host header: so many are kept, then all are forgotten.
_MAX_TEMPLATES = 64


class UrlAdapters:
    """A stand-in for the ``create_url_adapter`` of *app* that gives the same adapters, faster."""

    def __init__(self, app: flask.Flask) -> None:
        self._app = app
        self._create: Callable[[Any], MapAdapter | None] = app.create_url_adapter
        self._templates: dict[Any, _Template] = {}

    @staticmethod
    def applies_to(app: flask.Flask) -> bool:
        """Say whether *app* binds URLs as Flask and Werkzeug do, with no code of its own."""
        url_map = type(app.url_map)
        return (
            type(app).create_url_adapter is flask.Flask.create_url_adapter
            and "create_url_adapter" not in vars(app)
            and url_map.bind is Map.bind
            and url_map.bind_to_environ is Map.bind_to_environ
        )

    def match(self, environ: Environ) -> str | None:
        """Match the request of *environ* early; return the endpoint, or None where nothing matches."""
        result, failure = None, None
        try:
            adapter = self._bind(environ)
            try:
                result = adapter.match(return_rule=True)
            except HTTPException as error:  # no such path or method, or a redirect
                failure = error
        except Exception:
            return None  # Flask finds out for itself, and tells the client
        matched = _MatchedAdapter.__new__(_MatchedAdapter)
        vars(matched).update(vars(adapter), result=result, failure=failure)
        environ[_MATCHED] = (_signature(environ), matched)
        return None if result is None else result[0].endpoint

    def _bind(self, environ: Environ) -> MapAdapter:
        template = self._templates.get(self._key(environ))
        if (
            template is not None
            and template.adapter.map is self._app.url_map
            and "HTTP_UPGRADE" not in environ
        ):
            return template.bind(environ)
        adapter = self._make(self._app.request_class(environ))
        assert adapter is not None  # noqa: S101 - None is for an application context without a request
        return adapter

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Return the adapter for *request*; see ``flask.Flask.create_url_adapter``."""
        if request is None:
            return self._create(None)
        signature, matched = request.environ.pop(_MATCHED, (None, None))
        return self._make(request, matched if signature == _signature(request.environ) else None)

    def _make(self, request: flask.Request, matched: _MatchedAdapter | None = None) -> MapAdapter | None:
        if not self._is_ordinary(request):
            adapter = self._create(request)  # for what else it does to the request, too
            return matched if matched is not None and matched.is_like(adapter) else adapter
        key = self._key(request.environ)
        template = self._templates.get(key)
        if template is None or template.adapter.map is not self._app.url_map:
            return self._remember(key, request)
        if template.host is not None:
            request.host = template.host
        return matched or template.bind(request.environ)

    def _key(self, environ: Environ) -> Any:
        return (
            environ.get("HTTP_HOST"),
            environ["wsgi.url_scheme"],
            environ.get("SCRIPT_NAME"),
            environ["SERVER_NAME"],
            environ["SERVER_PORT"],
            self._app.config["SERVER_NAME"],
            self._app.url_map.default_subdomain,
        )

    def _is_ordinary(self, request: flask.Request) -> bool:
        return not (
            self._app.url_map.host_matching
            or self._app.subdomain_matching
            or request.trusted_hosts is not None
            or self._app.config.get("TRUSTED_HOSTS") is not None
            or "HTTP_UPGRADE" in request.environ
        )

    def _remember(self, key: Any, request: flask.Request) -> MapAdapter | None:
        adapter = self._create(request)
        if type(adapter) is MapAdapter:
            if len(self._templates) >= _MAX_TEMPLATES:
                self._templates.clear()
            # Flask 3.1 sets the host, which Flask 3.0 leaves to be computed when it is asked for.
            # A copy is kept, because the request may change its adapter.
            self._templates[key] = _Template(copy(adapter), vars(request).get("host"))
        return adapter


class _MatchedAdapter(MapAdapter):
    """An adapter that has matched its request already, and says so when it is asked the first time."""

    result: tuple[Rule, dict[str, Any]] | None
    failure: HTTPException | None

    def match(self, *args: Any, **kwargs: Any) -> Any:
        result, self.result = self.result, None
        failure, self.failure = self.failure, None
        if not args and kwargs == {"return_rule": True}:
            if result is not None:
                return result
            if failure is not None:
                raise failure.with_traceback(None)
        return super().match(*args, **kwargs)

    def is_like(self, adapter: MapAdapter | None) -> bool:
        """Say whether *adapter* is one of Werkzeug's own that would match the same."""
        own = {"result": self.result, "failure": self.failure}
        return type(adapter) is MapAdapter and vars(self) == vars(adapter) | own


def _signature(environ: Environ) -> tuple[Any, ...]:
    """Return what the match of a request depends on."""
    return tuple(map(environ.get, _MATCHED_BY))


class _Template:
    """An adapter to copy, and the host of the requests that it is for."""

    __slots__ = ("adapter", "host")

    def __init__(self, adapter: MapAdapter, host: str | None) -> None:
        self.adapter = adapter
        self.host = host

    def bind(self, environ: dict[str, Any]) -> MapAdapter:
        adapter = MapAdapter.__new__(MapAdapter)
        vars(adapter).update(
            vars(self.adapter),
            path_info=_decode(environ.get("PATH_INFO", "/")),
            default_method=environ["REQUEST_METHOD"],
            query_args=_decode(environ.get("QUERY_STRING")),
        )
        return adapter


def _decode(text: str | None) -> str | None:
    """Undo the latin-1 of PEP 3333, as Werkzeug does for its adapter."""
    return text if text is None or text.isascii() else text.encode("latin-1").decode(errors="replace")
