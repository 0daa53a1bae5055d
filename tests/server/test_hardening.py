# SPDX-License-Identifier: MIT
import os
from typing import Any

import pytest
from flask import Flask
from werkzeug.debug import DebuggedApplication

from ashapp.server.errors import StartupError
from ashapp.server.hardening import forbid_debug, forbid_debug_variable, require_strong_key

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
    app.wsgi_app = DebuggedApplication(app.wsgi_app)  # type: ignore[method-assign]
    with pytest.raises(StartupError, match="wraps its wsgi_app in Werkzeug's debugger"):
        forbid_debug(app, "shop:app")


@pytest.mark.parametrize(
    "config",
    [
        {"SECRET_KEY": "dev"},
        {"SECRET_KEY": b"fifteen bytes.."},
        {"SECRET_KEY": "Your-Secret-Key-Here"},
        {"SECRET_KEY": STRONG, "SECRET_KEY_FALLBACKS": ["changeme"]},
    ],
)
def test_a_weak_key_is_refused_in_production_only(config: dict[str, Any]) -> None:
    app = flask_app(**config)
    with pytest.raises(StartupError) as caught:
        require_strong_key(app, "shop:app", production=True)
    assert caught.value.message.startswith("the SECRET_KEY of shop:app is weak: it must be at least 16 bytes")
    assert repr(config["SECRET_KEY"]) not in caught.value.message
    (warning,) = require_strong_key(app, "shop:app", production=False)
    assert caught.value.message.startswith(warning)


def test_a_strong_key_is_nothing_to_speak_of() -> None:
    app = flask_app(SECRET_KEY=STRONG, SECRET_KEY_FALLBACKS=None)
    assert require_strong_key(app, "shop:app", production=True) == []


def test_a_missing_key_is_a_warning() -> None:
    (warning,) = require_strong_key(flask_app(), "shop:app", production=True)
    assert warning.startswith("shop:app has no SECRET_KEY")
