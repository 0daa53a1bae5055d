# SPDX-License-Identifier: MIT
import json

import flask

from ashapp.server.inspection.report import Report


async def wait() -> str:
    return "waited"


def load_user() -> None: ...


def test_the_json_has_the_members_that_the_help_page_names() -> None:
    app = flask.Flask("shop", static_folder=None)
    app.add_url_rule("/wait", view_func=wait, methods=["POST"])
    app.before_request(load_user)
    assert json.loads(Report.of(app, "shop:app").to_json()) == {
        "target": "shop:app",
        "flask": True,
        "reason": None,
        "routes": [
            {
                "rule": "/wait",
                "domain": None,
                "methods": ["OPTIONS", "POST"],
                "endpoint": "wait",
                "view": f"{__name__}.wait",
                "kind": "async",
                "async_methods": [],
                "runs_on": "loop",
                "reason": None,
                "own_loop": False,
                "held_by": [f"before_request {__name__}.load_user"],
            }
        ],
        "hooks": [
            {
                "hook": "before_request",
                "on": None,
                "name": f"{__name__}.load_user",
                "blueprint": None,
                "kind": "sync",
                "runs_on": "request_thread",
            }
        ],
    }


def test_another_wsgi_callable_is_told_apart() -> None:
    report = Report.of(lambda environ, start_response: [], "shop:application")
    assert json.loads(report.to_json()) == {
        "target": "shop:application",
        "flask": False,
        "reason": "it is no Flask application",
        "routes": [],
        "hooks": [],
    }
