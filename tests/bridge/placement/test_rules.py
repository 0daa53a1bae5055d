# SPDX-License-Identifier: MIT
"""Where each view runs, and why."""

import flask

from ashapp.bridge.placement.rules import Place, Placement


def index() -> str:
    return "index"


async def wait() -> str:
    return "waited"


def make_app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.add_url_rule("/", view_func=index)
    app.add_url_rule("/wait", view_func=wait)
    return app


def test_a_view_can_be_moved_to_threads_and_back() -> None:
    placement = Placement(make_app())
    for endpoint in ("wait", "index"):
        before = placement.of(endpoint)
        placement.move(endpoint, "it has blocked")
        assert placement.of(endpoint) == Place(on_loop=False, reason="it has blocked", own_loop=True)
        placement.move_back(endpoint)
        placement.move_back(endpoint)
        assert placement.of(endpoint) == before


def test_where_async_views_run_may_be_decided_late() -> None:
    app = make_app()
    placement = Placement(app)
    assert placement.may_be_on_loop()
    app.config["ASHAPP_ASYNC_VIEWS"] = "thread"
    assert not placement.may_be_on_loop()
    assert placement.of("wait").own_loop


def test_where_there_is_no_async_view_nothing_is_worth_asking() -> None:
    app = flask.Flask(__name__)
    placement = Placement(app)
    assert not placement.may_be_on_loop()
    app.add_url_rule("/wait", view_func=wait)
    assert placement.may_be_on_loop()
