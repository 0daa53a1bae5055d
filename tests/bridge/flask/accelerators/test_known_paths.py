# SPDX-License-Identifier: MIT
"""What is known of the rule of a path, so that it is matched once."""

import flask
import pytest
from werkzeug.routing import Map, Rule

from ashapp.bridge.flask.accelerators import matching
from ashapp.bridge.flask.accelerators.rule_index import index_of
from tests.bridge.flask.accelerators.mapped import environ_of, make_app, quick


def endpoint_of(app: flask.Flask, path: str, method: str = "GET") -> tuple[str | None, str]:
    with app.request_context(environ_of({"PATH_INFO": path, "REQUEST_METHOD": method})):
        return flask.request.endpoint, str(flask.request.routing_exception)[:3]


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


def test_a_map_of_the_applications_own_is_asked_each_time() -> None:
    class OwnMap(Map):
        """Has other rules whenever they are asked for."""

        def update(self) -> None:
            self.add(Rule(f"/{next(numbers)}", endpoint="new"))
            super().update()

    numbers = iter(range(100))
    app = make_app()
    app.url_map = OwnMap()
    app.url_map.add(Rule("/", endpoint="index"))
    quick(app)
    found = [endpoint_of(app, "/")[0] for _ in range(3)]
    assert (found, next(numbers)) == (["index"] * 3, 3)
