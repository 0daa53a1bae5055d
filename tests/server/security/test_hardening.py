# SPDX-License-Identifier: MIT
import functools
import random
import re
import string
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, current_app, request
from werkzeug.debug import DebuggedApplication
from werkzeug.local import LocalProxy
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.server.errors import StartupError
from ashapp.server.security.hardening import harden
from ashapp.server.settings.loading import load

STRONG = "9f2c6d0b1e7a4538"
OTHER = "7a4538e1b0d6c2f9"


def flask_app(name: str = "shop", **config: Any) -> Flask:
    app = Flask(name)
    app.config.update({"SECRET_KEY": STRONG, **config})
    return app


def warnings_of(app: object, **flags: Any) -> list[str]:
    return harden(app, load({"app": "shop:app", **flags}))


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


@pytest.mark.parametrize(
    ("config", "start"),
    [
        ({"SECRET_KEY": "dev"}, "the SECRET_KEY of shop:app is weak: it must be at least 16 bytes"),
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


def weak(keys: list[bytes]) -> list[bytes]:
    """Return those of *keys* that are told to be weak."""
    app, settings = flask_app(), load({"app": "shop:app", "environment": "development"})

    def is_told(key: bytes) -> bool:
        app.secret_key = key
        return bool(harden(app, settings))

    return [key for key in keys if is_told(key)]


#: Two or more spaces part them.
WEAK = """
    dev  aaaaaaaabbbbbbbb  abababababababababab  0000000000000001  1234567890123456  0123456789abcdef
    zyxwvutsrqponmlk  secretsecretsecret  hello world hello world  qwertyuiopasdfghjkl  supersecretkey123
    Your-Secret-Key-Here  my_precious_secret_key  you-will-never-guess  thisisaverysecretkey
    dev-secret-key-change-in-production  change-this-to-a-random-string  my-super-secret-key-shop
    django-insecure-key-please-change  aaaaaaaaaaaaaaaaaaaaaaaa
"""


def test_what_can_be_guessed_is_weak() -> None:
    keys = [key.encode() for key in re.split(r"\s*\n\s*|  ", WEAK) if key]
    assert len(keys) == 20
    keys += [b"fifteen bytes..", b"\0" * 32]
    assert weak(keys) == keys


@pytest.mark.parametrize(
    "alphabet", [string.hexdigits[:16], string.ascii_letters + string.digits + "-_", [*map(chr, range(256))]]
)
def test_what_a_generator_gives_is_strong_and_so_is_a_sentence(alphabet: str) -> None:
    numbers = random.Random(5)
    keys = ["".join(numbers.choices(alphabet, k=length)) for length in (16, 24, 64) for _ in range(100)]
    keys.append("correct horse battery staple")
    assert weak([key.encode("latin-1") for key in keys]) == []


@pytest.mark.parametrize("own", [None, "dev"])
def test_the_key_of_the_operator_takes_the_place_of_none_and_of_a_weak_one(own: str | None) -> None:
    app = flask_app(SECRET_KEY=own)
    told = "the SECRET_KEY of shop:app is weak: that of ASHAPP_SECRET_KEY is used instead"
    assert warnings_of(app, secret_key=STRONG) == ([told] if own else [])
    assert app.secret_key == STRONG


def test_an_empty_key_of_the_operator_is_none() -> None:
    app = flask_app(SECRET_KEY="dev")
    with pytest.raises(StartupError, match="the SECRET_KEY of shop:app is weak"):
        warnings_of(app, secret_key="")
    assert app.secret_key == "dev"


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


# -- what is wrapped


class Slotted:
    __slots__ = ("_inner", "empty")

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self._inner(environ, start_response)


class Unreadable:
    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)

    def __call__(self) -> None:
        """Do nothing: this is no application."""


def by_closure(inner: Any) -> Callable[..., Any]:
    return lambda *arguments: inner(*arguments)  # noqa: PLW0108 - that is the point


def by_partial(inner: Any) -> Callable[..., Any]:
    return functools.partial(lambda inner, environ, start_response: inner(environ, start_response), inner)


def by_global(inner: Any) -> Callable[..., Any]:
    names: dict[str, Any] = {"inner": inner}
    exec("def application(environ, start_response): return inner(environ, start_response)", names)
    application: Callable[..., Any] = names["application"]
    return application


def by_mount(inner: Any) -> Callable[..., Any]:
    return DispatcherMiddleware(flask_app("front"), {"/shop": inner})


def of_flask(inner: Any) -> Flask:
    app = flask_app("front")
    app.wsgi_app = ProxyFix(inner)  # type: ignore[method-assign]
    return app


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: inner,
        ProxyFix,
        Slotted,
        by_closure,
        lambda inner: ProxyFix(inner).__call__,
        by_partial,
        by_global,
        by_mount,
        of_flask,
        lambda inner: by_mount(of_flask(inner)),
        WsgiToAsgi,
        lambda inner: FlaskToAsgi(of_flask(inner)),
        lambda inner: ProxyFix(Slotted(by_closure(by_mount(inner)))),
    ],
)
def test_werkzeugs_debugger_is_refused_and_a_weak_key_found_in_each_layer(
    wrap: Callable[[Any], object],
) -> None:
    with pytest.raises(StartupError, match="shop:app has Werkzeug's debugger in it"):
        warnings_of(wrap(DebuggedApplication(flask_app())))
    with pytest.raises(StartupError, match="is weak"):
        warnings_of(wrap(flask_app(SECRET_KEY="dev")))


def test_what_an_application_calls_is_no_layer() -> None:
    """Such as a view, a class or a lock; and what goes round in a circle has an end."""
    app = flask_app(DEBUG=True)
    views: dict[str, Any] = app.view_functions
    views["index"] = DebuggedApplication(app)
    ring = Slotted(None)
    proxies = [LocalProxy(lambda: app), current_app, request]
    ring._inner = [ring, app, threading.Lock(), DebuggedApplication, proxies, Unreadable()]
    assert len(warnings_of(ring)) == 1
