# SPDX-License-Identifier: MIT
"""Binds Flask's URL adapter once for each host, not for each request.

Theory of operation. ``Flask.create_url_adapter`` derives server name, scheme, script name and subdomain. That
takes a sixth of Flask's time for a small view. They depend on a few entries of the environ, which are the
same in nearly all requests. So an adapter of Flask's is kept as a template, and later requests get a copy
with their own path, method and query. Unusual cases are left to Flask: a map that matches hosts, trusted
hosts, an upgrade.

To place a request, the bridge matches it before Flask does. The adapter with the match stays in the environ
until Flask asks for one, so no request is matched twice. It is dropped if a middleware has changed the
environ.

If a path has led to a rule without arguments, that is remembered until a rule is added.
"""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Self

import flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, MapAdapter, Rule

from ashapp.bridge.flask.accelerators.rule_index import RuleIndex, index_of
from ashapp.bridge.loop_or_thread.marks import nonblocking
from ashapp.bridge.messages.types import Environ
from ashapp.bridge.websocket.connection import CONNECTION

__all__ = ["ARE_KNOWN", "Adapter", "UrlAdapters"]

_BOUND_BY = ("HTTP_HOST", "wsgi.url_scheme", "SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT")
_MATCHED_BY = (*_BOUND_BY, "REQUEST_METHOD", "PATH_INFO", "QUERY_STRING")
_matched_by = itemgetter(*_MATCHED_BY)

# The key of the environ that has an adapter, with the values that it was made for.
_MATCHED = "ashapp.matched"
_AS_FLASK_DOES = {"return_rule": True}

# Clients choose the Host header: when there are this many templates, all are forgotten.
_MAX_TEMPLATES = 64
# Clients also choose the method, and a rule may take any.
_MAX_KNOWN = 10_000


# The attributes of an adapter of Werkzeug's.
_FIELDS = (
    *("map", "server_name", "script_name", "subdomain", "url_scheme"),
    *("path_info", "default_method", "query_args", "websocket"),
)
#: Whether it has exactly these.
ARE_KNOWN = set(vars(Map().bind("localhost"))) == set(_FIELDS)


class Adapter(MapAdapter):
    """The adapter of one request, which it may have matched; or a template for such adapters."""

    # With the attributes of its base: an adapter has no dict.
    __slots__ = ("host", "index", "outcome", *_FIELDS)

    # The outcome of an early match, until Flask asks for it.
    outcome: tuple[Rule, Mapping[str, Any]] | HTTPException | None
    index: RuleIndex | None
    # The host of its requests: Flask 3.1 sets it, 3.0 does not.
    host: str | None

    @classmethod
    def like(cls, adapter: MapAdapter, request: flask.Request) -> Self:
        """Return a template of *adapter*, which Flask has made for *request*."""
        made = cls.__new__(cls)
        for name in _FIELDS:
            setattr(made, name, getattr(adapter, name))
        made.outcome = None
        made.host = vars(request).get("host")
        made.index = adapter.index if isinstance(adapter, Adapter) else index_of(adapter.map)
        return made

    def bind(self, environ: Environ) -> Self:
        """Return the adapter for a request, by this template."""
        made = self.__new__(type(self))
        path, query = environ.get("PATH_INFO", "/"), environ.get("QUERY_STRING")
        made.map = self.map
        made.server_name = self.server_name
        made.script_name = self.script_name
        made.subdomain = self.subdomain
        made.url_scheme = self.url_scheme
        made.websocket = self.websocket
        made.path_info = path if path.isascii() else _decode(path)
        made.default_method = environ["REQUEST_METHOD"]
        made.query_args = query if query is None or query.isascii() else _decode(query)
        made.outcome = None
        made.host = self.host
        made.index = self.index
        return made

    def match(self, *args: Any, **kwargs: Any) -> Any:
        """Match; see ``werkzeug.routing.MapAdapter.match``."""
        if args or kwargs != _AS_FLASK_DOES:
            return super().match(*args, **kwargs)
        return self.match_rule()

    def match_rule(self) -> tuple[Rule, Mapping[str, Any]]:
        """Return the rule that matches, and the arguments for its view.

        Raises:
            HTTPException: there is none, or the client is redirected.
        """
        if self.outcome is not None:
            outcome, self.outcome = self.outcome, None
            if isinstance(outcome, HTTPException):
                raise outcome.with_traceback(None)
            return outcome
        known = {} if self.index is None else self.index.known
        is_by_host = self.map.host_matching or self.subdomain is None
        place = self.server_name if is_by_host else self.subdomain
        # All values that a match depends on.
        key = (place, self.websocket, self.default_method, self.path_info)
        rule = known.get(key)
        if rule is not None:
            return rule, {}
        rule, values = super().match(return_rule=True)
        # A path that is not ASCII has two forms, raw and decoded. A rule with arguments has countless paths.
        if not values and self.path_info == rule.rule and rule.rule.isascii():
            if len(known) >= _MAX_KNOWN:
                known.clear()
            known[key] = rule
        return rule, values

    def get_default_redirect(self, rule: Rule, *args: Any) -> str | None:
        """Return where a rule with defaults redirects the client; see ``werkzeug.routing.MapAdapter``."""
        if self.index is not None and not self.index.has_defaults(rule.endpoint):
            return None
        return super().get_default_redirect(rule, *args)


class UrlAdapters:
    """Makes the URL adapters of *app*, equal to Flask's."""

    def __init__(self, app: flask.Flask) -> None:
        self._app = app
        self._create: Callable[[Any], MapAdapter | None] = app.create_url_adapter
        self._templates: dict[Any, Adapter] = {}
        index_of(app.url_map)

    def match(self, environ: Environ) -> Rule | None:
        """Match the request of *environ* before Flask does; return the rule, or None for no match."""
        place = self._place(environ)
        template = self._template(place)
        try:
            if template is None or "HTTP_UPGRADE" in environ:
                request = self._app.request_class(environ)
                made: Any = self._make(request, place)
                adapter = Adapter.like(made, request)
            else:
                adapter = template.bind(environ)
            try:
                adapter.outcome = adapter.match_rule()
            except HTTPException as error:  # no such path or method, or a redirect
                adapter.outcome = error
        except Exception:
            return None  # Flask meets it again, and tells the client
        environ[_MATCHED] = adapter, place
        return adapter.outcome[0] if isinstance(adapter.outcome, tuple) else None

    @nonblocking
    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Return the adapter for *request*; see ``flask.Flask.create_url_adapter``."""
        if request is None:
            return None if self._app.config["SERVER_NAME"] is None else self._create(None)
        environ = request.environ
        place = self._place(environ)
        early = environ.pop(_MATCHED, None)
        return self._make(request, place, early[0] if early is not None and early[1] == place else None)

    def _make(self, request: flask.Request, place: Any, matched: Adapter | None = None) -> MapAdapter | None:
        app, environ = self._app, request.environ
        if (
            app.url_map.host_matching
            or app.subdomain_matching
            or request.trusted_hosts is not None
            or app.config.get("TRUSTED_HOSTS") is not None
            or "HTTP_UPGRADE" in environ
        ):
            adapter = self._create(request)
            if adapter is not None and "asgi.scope" in environ and CONNECTION not in environ:
                adapter.websocket = False  # an upgrade that the server has not taken
            return matched or (Adapter.like(adapter, request) if type(adapter) is MapAdapter else adapter)
        template = matched or self._template(place)
        if template is not None:
            if template.host is not None:
                vars(request)["host"] = template.host
            return matched or template.bind(environ)
        adapter = self._create(request)
        if type(adapter) is MapAdapter:
            if len(self._templates) >= _MAX_TEMPLATES:
                self._templates.clear()
            # A copy, because the request may change its adapter.
            self._templates[place[0][: len(_BOUND_BY)], *place[1:]] = Adapter.like(adapter, request)
        return adapter

    def _template(self, place: Any) -> Adapter | None:
        entries, server_name, subdomain = place
        template = self._templates.get((entries[: len(_BOUND_BY)], server_name, subdomain))
        return template if template is not None and template.map is self._app.url_map else None

    def _place(self, environ: Environ) -> Any:
        """Return all values that the outcome of a match depends on."""
        app = self._app
        try:
            entries = _matched_by(environ)
        except KeyError:  # HTTP/1.0 needs no Host
            entries = tuple(map(environ.get, _MATCHED_BY))
        return entries, app.config["SERVER_NAME"], app.url_map.default_subdomain


def _decode(text: str) -> str:
    """Undo the latin-1 of PEP 3333, as Werkzeug does for its adapter."""
    return text.encode("latin-1").decode(errors="replace")
