# SPDX-License-Identifier: MIT
import os
from typing import Any

import pytest
from flask import Flask
from werkzeug.debug import DebuggedApplication
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from ashapp.server.assembly.hardening import forbid_debug_variable, harden
from ashapp.server.errors import StartupError
from ashapp.server.settings.loading import load

STRONG = "9f2c6d0b1e7a4538"
OTHER = "7a4538e1b0d6c2f9"


def flask_app(name: str = "shop", **config: Any) -> Flask:
    app = Flask(name)
    app.config.update({"SECRET_KEY": STRONG, **config})
    return app


def warnings_of(app: object, **flags: Any) -> list[str]:
    return harden(app, load({"app": "shop:app", **flags}))


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
        ({"SECRET_KEY_FALLBACKS": None}, []),
        ({"DEBUG": True}, ["shop:app sets debug, but 'serve' never runs in debug mode: it is off"]),
        ({"TESTING": True}, ["shop:app sets TESTING: exceptions go past Flask's error pages"]),
        (
            {"SECRET_KEY": None},
            ["shop:app has no SECRET_KEY and can't use sessions; ASHAPP_SECRET_KEY[_FILE] sets one"],
        ),
    ],
)
def test_what_is_not_for_production_is_overruled_or_told_of(
    config: dict[str, Any], warnings: list[str]
) -> None:
    app = flask_app(**config)
    assert warnings_of(app) == warnings
    assert app.debug is False


def test_werkzeugs_debugger_is_refused() -> None:
    app = flask_app()
    app.wsgi_app = DebuggedApplication(app.wsgi_app)  # type: ignore[method-assign]
    with pytest.raises(StartupError, match="shop:app has Werkzeug's debugger in it"):
        warnings_of(app)


@pytest.mark.parametrize(
    ("config", "start"),
    [
        ({"SECRET_KEY": "dev"}, "the SECRET_KEY of shop:app is weak: it must be at least 16 bytes"),
        ({"SECRET_KEY": b"fifteen bytes.."}, "the SECRET_KEY of shop:app is weak"),
        ({"SECRET_KEY": "a" * 24}, "the SECRET_KEY of shop:app is weak"),
        ({"SECRET_KEY_FALLBACKS": ["changeme"]}, "one of the SECRET_KEY_FALLBACKS of shop:app is weak"),
    ],
)
def test_a_weak_key_is_refused_in_production_only(config: dict[str, Any], start: str) -> None:
    app = flask_app(**config)
    with pytest.raises(StartupError) as caught:
        warnings_of(app)
    assert caught.value.message.startswith(start)
    assert repr(app.secret_key) not in caught.value.message
    (warning,) = warnings_of(app, environment="development")
    assert caught.value.message.startswith(warning)


@pytest.mark.parametrize("own", [None, "dev"])
def test_the_key_of_the_operator_takes_the_place_of_none_and_of_a_weak_one(own: str | None) -> None:
    app = flask_app(SECRET_KEY=own)
    told = "the SECRET_KEY of shop:app is weak: that of ASHAPP_SECRET_KEY is used instead"
    assert warnings_of(app, secret_key=STRONG) == ([told] if own else [])
    assert app.secret_key == STRONG


def test_a_strong_key_stays_and_a_weak_one_of_the_operator_helps_nobody() -> None:
    app = flask_app()
    assert warnings_of(app, secret_key=OTHER) == []
    assert app.secret_key == STRONG
    with pytest.raises(StartupError, match=r"is weak: .*, or give one by ASHAPP_SECRET_KEY\[_FILE\]"):
        warnings_of(flask_app(SECRET_KEY="dev"), secret_key="secret")


def test_an_application_that_is_mounted_is_hardened_too_and_keeps_its_key() -> None:
    shop, admin, plain = flask_app(SECRET_KEY=None), flask_app("admin", DEBUG=True), Flask("plain")
    mounted: dict[str, Any] = {"/admin": admin, "/plain": plain}
    shop.wsgi_app = DispatcherMiddleware(shop.wsgi_app, mounted)  # type: ignore[method-assign]
    told = "'admin' within shop:app sets debug, but 'serve' never runs in debug mode: it is off"
    assert warnings_of(shop, secret_key=OTHER) == [told]
    assert (shop.secret_key, admin.secret_key, plain.secret_key) == (OTHER, STRONG, None)
    admin.secret_key = "dev"
    with pytest.raises(StartupError, match="the SECRET_KEY of 'admin' within shop:app is weak"):
        warnings_of(shop)
