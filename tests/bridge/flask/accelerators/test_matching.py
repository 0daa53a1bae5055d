# SPDX-License-Identifier: MIT
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock, patch

import flask
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.routing import Map, MapAdapter, Rule

from ashapp.bridge.flask.accelerators import matching
from ashapp.bridge.flask.accelerators.matching import UrlAdapters
from ashapp.bridge.messages.types import Environ
from tests.bridge.flask.accelerators.mapped import environ_of, make_app, quick

# What an adapter has, but for its map.
FIELDS = set(vars(Map().bind("localhost"))) - {"map"}


def test_adapters_are_as_they_are_known() -> None:
    assert matching.ARE_KNOWN


def outcome(app: flask.Flask, environ: Environ) -> Any:
    """Return all that can be told of the adapter that *app* makes for *environ*, or how it fails."""
    request = app.request_class(dict(environ))
    adapter = attempt(lambda: app.create_url_adapter(request))
    if not isinstance(adapter, MapAdapter):
        return adapter
    told = {name: getattr(adapter, name) for name in FIELDS}
    matches = [attempt(lambda case=case: adapter.match(*case)) for case in MATCHES]  # type: ignore[misc]
    return told, attempt(lambda: request.host), adapter.map is app.url_map, matches


MATCHES = [(None, None), ("/item/5", None), ("/item/5", "PUT"), ("/socket", None), ("/none", None)]


def attempt(function: Callable[[], Any]) -> Any:
    """Return what *function* returns, or what it raises, as something to compare."""
    try:
        return function()
    except Exception as error:
        return type(error), str(error)


def urls(app: flask.Flask, environ: Environ) -> Any:
    values: dict[str, Any] = {"q": "\u00e9", **({"host": "h"} if app.url_map.host_matching else {})}

    def build() -> list[str]:
        with app.request_context(dict(environ)):
            return [
                flask.url_for("index", **values),
                flask.url_for("index", **values, _external=True),
                flask.url_for("index", **values, _scheme="ftp"),
            ]

    return attempt(build)


ENVIRONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no host": {"HTTP_HOST": None},
    "no host, other port": {"HTTP_HOST": None, "SERVER_PORT": "81"},
    "https, the same host": {"wsgi.url_scheme": "https"},
    "host": {"HTTP_HOST": "Example.COM"},
    "port": {"HTTP_HOST": "example.com:8080"},
    "default port": {"HTTP_HOST": "example.com:80"},
    "https": {"HTTP_HOST": "example.com:443", "wsgi.url_scheme": "https"},
    "subdomain": {"HTTP_HOST": "a.example.com"},
    "other": {"HTTP_HOST": "a.example"},
    "idna": {"HTTP_HOST": "xn--bcher-kva.example"},
    "idna, not encoded": {"HTTP_HOST": "b\xfccher.example"},
    "idna, too long": {"HTTP_HOST": "a" * 64 + ".example"},
    "bad host": {"HTTP_HOST": "a b/c"},
    "two dots": {"HTTP_HOST": "a..b"},
    "empty host": {"HTTP_HOST": ""},
    "ipv4": {"HTTP_HOST": "127.0.0.1:5000"},
    "ipv6": {"HTTP_HOST": "[::1]:5000"},
    "ipv6 server": {"HTTP_HOST": None, "SERVER_NAME": "::1", "SERVER_PORT": "5000"},
    "server": {"HTTP_HOST": None, "SERVER_NAME": "server.example", "SERVER_PORT": "81"},
    "script": {"SCRIPT_NAME": "/mount", "PATH_INFO": "/item/7"},
    "script with a slash": {"SCRIPT_NAME": "/mount/", "PATH_INFO": ""},
    "script, not ascii": {"SCRIPT_NAME": "/\xc3\xa9"},
    "script, not utf-8": {"SCRIPT_NAME": "/\xe9"},
    "path": {"PATH_INFO": "/item/7", "QUERY_STRING": "a=1&b"},
    "path, not ascii": {"PATH_INFO": "/\xc3\xa9", "QUERY_STRING": "\xc3\xa9"},
    "path, not utf-8": {"PATH_INFO": "/\xe9", "QUERY_STRING": "\xe9"},
    "post": {"REQUEST_METHOD": "POST"},
    "not allowed": {"REQUEST_METHOD": "DELETE"},
    "websocket": {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade", "PATH_INFO": "/socket"},
    "secure websocket": {
        "HTTP_UPGRADE": "WebSocket",
        "HTTP_CONNECTION": "x, upgrade",
        "wsgi.url_scheme": "https",
    },
    "another upgrade": {"HTTP_UPGRADE": "h2c", "HTTP_CONNECTION": "upgrade"},
    "no script name": {"SCRIPT_NAME": None},
    "no path": {"PATH_INFO": None},
    "no query": {"QUERY_STRING": None},
}

APPS: dict[str, Callable[[], flask.Flask]] = {
    "plain": make_app,
    "server name": lambda: make_app({"SERVER_NAME": "example.com"}),
    "server name and port": lambda: make_app({"SERVER_NAME": "Example.com:443"}),
    "trusted hosts": lambda: make_app({"TRUSTED_HOSTS": [".example.com", "127.0.0.1"]}),
    "subdomain matching": lambda: make_app({"SERVER_NAME": "example.com"}, subdomain_matching=True),
    "host matching": lambda: make_app(host_matching=True),
    "root": lambda: make_app({"APPLICATION_ROOT": "/root", "PREFERRED_URL_SCHEME": "https"}),
    "default subdomain": lambda: with_default_subdomain(make_app()),
    "trusting request": lambda: with_trusting_request(make_app()),
}


def with_default_subdomain(app: flask.Flask) -> flask.Flask:
    app.url_map.default_subdomain = "www"
    return app


def with_trusting_request(app: flask.Flask) -> flask.Flask:
    class Trusting(flask.Request):
        trusted_hosts = ["example.com"]  # noqa: RUF012 - as Werkzeug has it

    app.request_class = Trusting
    return app


@pytest.mark.filterwarnings("ignore:Current server name")
@pytest.mark.parametrize("make", APPS.values(), ids=APPS)
def test_adapters_are_those_of_flask(make: Callable[[], flask.Flask]) -> None:
    theirs, ours = make(), make()
    quick(ours)
    for _ in range(3):  # by Flask, from a template, and after all others have been seen
        for name, changes in [*ENVIRONS.items(), *ENVIRONS.items()]:
            environ = environ_of(changes)
            assert outcome(ours, environ) == outcome(theirs, environ), name
            assert urls(ours, environ) == urls(theirs, environ), name


@given(
    host=st.none() | st.text(st.characters(max_codepoint=255)),
    script=st.text(st.characters(max_codepoint=255)),
    path=st.text(st.characters(max_codepoint=255)),
    scheme=st.sampled_from(["http", "https"]),
)
def test_adapters_are_those_of_flask_whatever_the_client_sends(
    host: str | None, script: str, path: str, scheme: str
) -> None:
    changes = {"HTTP_HOST": host, "SCRIPT_NAME": script, "PATH_INFO": path, "QUERY_STRING": path}
    environ = environ_of({**changes, "wsgi.url_scheme": scheme})
    theirs, ours = make_app(), make_app()
    quick(ours)
    expected = outcome(theirs, environ)
    for _ in range(3):
        assert outcome(ours, environ) == expected


@pytest.mark.parametrize("config", [{}, {"SERVER_NAME": "example.com"}])
def test_outside_a_request_it_is_flasks(config: dict[str, Any]) -> None:
    theirs, ours = make_app(config), make_app(config)
    quick(ours)
    adapters = [app.create_url_adapter(None) for app in (theirs, ours)]
    assert len({adapter and adapter.build("index", force_external=True) for adapter in adapters}) == 1


def test_what_is_configured_later_counts() -> None:
    theirs, ours = make_app(), make_app()
    quick(ours)
    environ = environ_of({"HTTP_HOST": "a.example.com"})
    assert outcome(ours, environ) == outcome(theirs, environ)
    for change in (
        lambda app: app.config.update(SERVER_NAME="example.com"),
        lambda app: setattr(app.url_map, "default_subdomain", "www"),
        lambda app: setattr(app, "url_map", make_app().url_map),
        lambda app: app.config.update(TRUSTED_HOSTS=["example.com"]),
        lambda app: app.config.update(TRUSTED_HOSTS=None),
    ):
        for app in (theirs, ours):
            change(app)
        for _ in range(2):
            assert outcome(ours, environ) == outcome(theirs, environ)


def test_a_request_may_change_its_adapter_without_harm_to_others() -> None:
    theirs, ours = make_app(), make_app()
    quick(ours)
    environ = environ_of({})
    for _ in range(3):
        adapter: Any = ours.create_url_adapter(ours.request_class(dict(environ)))
        adapter.subdomain = adapter.server_name = adapter.path_info = "changed"
        adapter.added = None
        assert outcome(ours, environ) == outcome(theirs, environ)


def test_flask_is_asked_once_for_each_host_of_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_MAX_TEMPLATES", 2)
    app = make_app()
    create = Mock(wraps=app.create_url_adapter)
    monkeypatch.setattr(app, "create_url_adapter", create)
    adapters = UrlAdapters(app)
    for host in ["a", "b", "a", "b", "c", "c", "a"]:
        adapters.create_url_adapter(app.request_class(environ_of({"HTTP_HOST": host})))
        assert len(adapters._templates) <= 2
    assert [call.args[0].host for call in create.call_args_list] == ["a", "b", "c", "a"]


def test_a_flask_that_leaves_the_host_to_be_computed() -> None:
    # As Flask 3.0 does.
    app = make_app()
    adapters = UrlAdapters(app)
    adapters._create = lambda request: app.url_map.bind_to_environ(request.environ)
    for _ in range(2):
        request = app.request_class(environ_of({"HTTP_HOST": "a:80"}))
        adapter: Any = adapters.create_url_adapter(request)
        assert "host" not in vars(request)
        assert (request.host, adapter.server_name) == ("a", "a")


# -- matching early


@pytest.mark.filterwarnings("ignore:Current server name")
@pytest.mark.parametrize("make", APPS.values(), ids=APPS)
def test_an_early_match_is_the_one_of_flask_and_the_only_one(make: Callable[[], flask.Flask]) -> None:
    theirs, ours = make(), make()
    adapters = quick(ours)
    for name, changes in [*ENVIRONS.items(), *ENVIRONS.items()]:
        environ = environ_of(changes)
        early = dict(environ)
        with_flask = dispatch(theirs, environ)
        with patch.object(MapAdapter, "match", autospec=True, side_effect=MapAdapter.match) as matching:
            rule = adapters.match(early)
            with_ours = dispatch(ours, early)
        assert with_ours == with_flask, name
        assert (rule and rule.endpoint) == with_flask[0], name
        assert matching.call_count <= 1, name
        assert not [key for key in early if key.startswith("ashapp.")]


def dispatch(app: flask.Flask, environ: Environ) -> Any:
    def match() -> Any:
        with app.request_context(environ):
            request = flask.request
            rule = request.url_rule and request.url_rule.rule
            url = attempt(lambda: request.url)
            return request.endpoint, rule, request.view_args, str(request.routing_exception), url

    result = attempt(match)
    return result if len(result) == 5 else (None, *result)


def test_an_adapter_that_has_matched_matches_other_paths_as_well() -> None:
    app = make_app()
    adapters = quick(app)
    environ = environ_of({"PATH_INFO": "/item/7"})
    adapters.match(environ)
    adapter: Any = app.create_url_adapter(app.request_class(environ))
    assert adapter.match("/") == ("index", {})
    assert adapter.match() == ("item", {"number": 7})
    assert adapter.build("index") == "/"


@pytest.mark.parametrize(
    "change",
    [
        {"PATH_INFO": "/"},
        {"REQUEST_METHOD": "DELETE"},
        {"SCRIPT_NAME": "/mount"},
        {"HTTP_HOST": "other"},
        {"wsgi.url_scheme": "https"},
        {"QUERY_STRING": "a=1"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_middleware_changes_counts(change: dict[str, str]) -> None:
    theirs, ours = make_app(), make_app()
    adapters = quick(ours)
    environ = environ_of({"PATH_INFO": "/item/7"})
    for _ in range(2):
        early = dict(environ)
        rule = adapters.match(early)
        assert rule is not None
        assert rule.endpoint == "item"
        assert dispatch(ours, {**early, **change}) == dispatch(theirs, {**environ, **change})


def test_an_early_match_leaves_what_fails_to_flask() -> None:
    def fail(*args: Any, **options: Any) -> str:
        raise LookupError("oops")

    app = make_app()
    app.url_map.add(Rule("/moved", endpoint="moved", redirect_to=fail))
    assert quick(app).match(environ_of({"PATH_INFO": "/moved"})) is None
