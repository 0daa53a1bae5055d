# SPDX-License-Identifier: MIT
"""What is known of the rule of a path, so that it is matched once."""

from typing import Any

import flask
import pytest
from werkzeug.routing import Map, Rule

from ashapp.bridge.flask.accelerators import matching
from ashapp.bridge.flask.accelerators.rule_index import index_of
from tests.bridge.flask.accelerators.mapped import environ_of, make_app, quick


def counted(monkeypatch: pytest.MonkeyPatch, app: flask.Flask) -> list[str]:
    """Return the paths that the map of *app* is asked to match from now on."""
    asked: list[str] = []
    app.url_map.update()
    matcher = app.url_map._matcher
    match = matcher.match

    def noting(domain: str, path: str, method: str, websocket: bool) -> Any:  # noqa: FBT001 - Werkzeug's
        asked.append(path)
        return match(domain, path, method, websocket)

    monkeypatch.setattr(matcher, "match", noting)
    return asked


def endpoint_of(app: flask.Flask, path: str, method: str = "GET") -> tuple[str | None, str]:
    with app.request_context(environ_of({"PATH_INFO": path, "REQUEST_METHOD": method})):
        return flask.request.endpoint, str(flask.request.routing_exception)[:3]


@pytest.mark.parametrize("early", [False, True])
def test_a_path_that_leads_to_a_rule_without_arguments_is_matched_once(
    monkeypatch: pytest.MonkeyPatch, *, early: bool
) -> None:
    app = make_app()
    adapters = quick(app)
    endpoint_of(app, "/none")  # makes the template
    asked = counted(monkeypatch, app)
    for _ in range(3):
        if early:
            rule = adapters.match(environ_of({}))
            assert rule is not None
            assert rule.endpoint == "index"
        assert endpoint_of(app, "/") == ("index", "Non")
        assert endpoint_of(app, "/item/5") == ("item", "Non")
        assert endpoint_of(app, "/none") == (None, "404")
        assert endpoint_of(app, "/", "DELETE") == (None, "405")
    assert asked == ["/", *["/item/5", "/none", "/"] * 3][: len(asked)]
    assert len(asked) == 10


def test_a_rule_that_is_added_later_counts() -> None:
    app = make_app()
    quick(app)
    for _ in range(3):
        assert endpoint_of(app, "/new")[0] is None
        assert endpoint_of(app, "/")[0] == "index"
    app.url_map.add(Rule("/new", endpoint="new"))
    app.url_map.add(Rule("/", endpoint="put", methods=["PUT"]))
    for _ in range(3):
        assert endpoint_of(app, "/new")[0] == "new"
        assert endpoint_of(app, "/", "PUT")[0] == "put"
        assert endpoint_of(app, "/")[0] == "index"


def test_a_rule_with_defaults_gives_its_arguments_anew() -> None:
    app = make_app()
    quick(app)
    app.url_map.add(Rule("/first", endpoint="page", defaults={"page": 1}))
    for _ in range(3):
        with app.request_context(environ_of({"PATH_INFO": "/first"})):
            arguments = flask.request.view_args
            assert arguments == {"page": 1}
            arguments["page"] = 2


def test_paths_are_known_in_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_MAX_KNOWN", 2)
    app = make_app()
    app.url_map.add(Rule("/any", endpoint="any"))
    quick(app)
    index = index_of(app.url_map)
    assert index is not None
    for method in ("GET", "POST", "PUT", "A", "B"):
        assert endpoint_of(app, "/any", method) == ("any", "Non")
        assert endpoint_of(app, "//any" + "/" * len(method), method)[0] is None
        assert len(index.known) <= 2


def test_a_map_of_the_applications_own_decides_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class OwnMap(Map):
        pass

    class App(flask.Flask):
        url_map_class = OwnMap

    app = App(__name__, static_folder=None)
    app.url_map.add(Rule("/", endpoint="index"))
    quick(app)
    endpoint_of(app, "/none")
    asked = counted(monkeypatch, app)
    for _ in range(3):
        assert endpoint_of(app, "/")[0] == "index"
    assert asked == ["/"] * 3
