# SPDX-License-Identifier: MIT
import os
from typing import Any

import pytest
from flask import Flask
from werkzeug.debug import DebuggedApplication

from ashapp.server.assembly.hardening import (
    forbid_debug,
    forbid_debug_variable,
    forbid_debugger,
    require_strong_key,
)
from ashapp.server.errors import StartupError

STRONG = "9f2c6d0b1e7a4538"


def flask_app(**config: Any) -> Flask:
    app = Flask("shop")
    app.config.update(config)
    return app


@pytest.mark.parametrize(("value", "warned"), [(None, False), ("0", False), ("1", True), ("true", True)])
def test_the_debug_variable_is_switched_off(
    monkeypatch: pytest.MonkeyPatch, value: str | None, *, warned: bool
) -> None:
    if value is not None:
        monkeypatch.setenv("FLASK_DEBUG", value)
    warnings = forbid_debug_variable()
    assert [text.split()[0] for text in warnings] == (["FLASK_DEBUG"] if warned else [])
    assert Flask("shop").debug is False
    assert not warned or os.environ["FLASK_DEBUG"] == "0"


@pytest.mark.parametrize(
    ("config", "warnings"),
    [
        ({}, []),
        ({"DEBUG": True}, ["shop:app sets debug, but 'serve' never runs in debug mode: it is off"]),
        ({"TESTING": True}, ["shop:app sets TESTING: exceptions go past Flask's error pages"]),
    ],
)
def test_debug_is_overruled_and_told_of(config: dict[str, Any], warnings: list[str]) -> None:
    app = flask_app(**config)
    assert forbid_debug(app, "shop:app") == warnings
    assert app.debug is False


def test_werkzeugs_debugger_is_refused() -> None:
    app = flask_app()
    forbid_debugger([app, app.wsgi_app], "shop:app")
    with pytest.raises(StartupError, match="shop:app has Werkzeug's debugger in it"):
        forbid_debugger([app, DebuggedApplication(app.wsgi_app)], "shop:app")


@pytest.mark.parametrize(
    ("config", "start"),
    [
        ({"SECRET_KEY": "dev"}, "the SECRET_KEY of shop:app is weak: it must be at least 16 bytes"),
        ({"SECRET_KEY": b"fifteen bytes.."}, "the SECRET_KEY of shop:app is weak"),
        ({"SECRET_KEY": "a" * 24}, "the SECRET_KEY of shop:app is weak"),
        (
            {"SECRET_KEY": STRONG, "SECRET_KEY_FALLBACKS": ["changeme"]},
            "one of the SECRET_KEY_FALLBACKS of shop:app is weak",
        ),
    ],
)
def test_a_weak_key_is_refused_in_production_only(config: dict[str, Any], start: str) -> None:
    app = flask_app(**config)
    with pytest.raises(StartupError) as caught:
        require_strong_key(app, "shop:app", None, production=True)
    assert caught.value.message.startswith(start)
    assert repr(config["SECRET_KEY"]) not in caught.value.message
    (warning,) = require_strong_key(app, "shop:app", None, production=False)
    assert caught.value.message.startswith(warning)


@pytest.mark.parametrize("own", [None, "dev"])
def test_the_key_of_the_operator_takes_the_place_of_none_and_of_a_weak_one(own: str | None) -> None:
    app = flask_app(SECRET_KEY=own)
    warnings = require_strong_key(app, "shop:app", STRONG, production=True)
    assert app.secret_key == STRONG
    told = "the SECRET_KEY of shop:app is weak: that of ASHAPP_SECRET_KEY is used instead"
    assert warnings == ([told] if own else [])


def test_a_weak_key_of_the_operator_helps_nobody() -> None:
    with pytest.raises(StartupError, match=r"is weak: .*, or give one by ASHAPP_SECRET_KEY\[_FILE\]"):
        require_strong_key(flask_app(SECRET_KEY="dev"), "shop:app", "secret", production=True)


def test_a_strong_key_is_nothing_to_speak_of() -> None:
    app = flask_app(SECRET_KEY=STRONG, SECRET_KEY_FALLBACKS=None)
    assert require_strong_key(app, "shop:app", "another of the operator", production=True) == []
    assert app.secret_key == STRONG


def test_a_missing_key_is_a_warning() -> None:
    (warning,) = require_strong_key(flask_app(), "shop:app", None, production=True)
    assert warning.startswith("shop:app has no SECRET_KEY")
