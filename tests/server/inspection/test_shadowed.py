# SPDX-License-Identifier: MIT
from typing import Any

import pytest
from flask import Blueprint, Flask

from ashapp.server.inspection.routes import list_routes
from ashapp.server.inspection.shadowed import shadowed
from ashapp.server.settings.loading import load


def app() -> Flask:
    shop = Flask("shop")
    health = Blueprint("health", __name__)
    health.add_url_rule("/healthz", "check", lambda: "ok", methods=["POST"])
    shop.register_blueprint(health)
    shop.add_url_rule("/livez", "alive", lambda: "ok")
    shop.add_url_rule("/readyz/", "with_a_slash", lambda: "ok")
    shop.add_url_rule("/<path:path>", "page", lambda path: path)
    return shop


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({}, ["/healthz (health.check) healthz_path", "/livez (alive) livez_path"]),
        ({"livez_path": "off"}, ["/healthz (health.check) healthz_path"]),
        ({"livez_path": "/alive", "healthz_path": "/well"}, []),
        ({"probes": False}, []),
    ],
)
def test_a_view_at_the_path_of_a_probe_is_told_of(flags: dict[str, Any], named: list[str]) -> None:
    lines = list(shadowed(list_routes(app()), load({"app": "shop", **flags})))
    assert lines == [
        f"shop has a view at {path} {endpoint} that is never called: a probe is answered there; "
        f"choose another {setting}, or switch it off"
        for path, endpoint, setting in map(str.split, named)
    ]
