# SPDX-License-Identifier: MIT
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.debug import DebuggedApplication
from werkzeug.local import LocalProxy
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.server.assembly.layers import layers


class Slotted:
    __slots__ = ("_inner", "empty")

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self._inner(environ, start_response)


def by_closure(inner: Any) -> Callable[..., Any]:
    def middleware(environ: Any, start_response: Any) -> Any:
        return inner(environ, start_response)

    return middleware


def by_method(inner: Any) -> Callable[..., Any]:
    return ProxyFix(inner).__call__


def by_partial(inner: Any) -> Callable[..., Any]:
    def call(inner: Any, environ: Any, start_response: Any) -> Any:
        return inner(environ, start_response)

    return functools.partial(call, inner)


def by_global(inner: Any) -> Callable[..., Any]:
    names: dict[str, Any] = {"inner": inner}
    exec("def application(environ, start_response): return inner(environ, start_response)", names)
    application: Callable[..., Any] = names["application"]
    return application


def by_mount(inner: Any) -> Callable[..., Any]:
    return DispatcherMiddleware(Flask("front"), {"/shop": inner})


def of_mounted_flask(inner: Any) -> Callable[..., Any]:
    mounted = Flask("mounted")
    mounted.wsgi_app = inner  # type: ignore[method-assign]
    return by_mount(mounted)


def of_flask(inner: Any) -> Flask:
    app = Flask("front")
    app.wsgi_app = ProxyFix(inner)  # type: ignore[method-assign]
    return app


def itself(inner: Any) -> Any:
    return inner


@pytest.mark.parametrize(
    "wrap",
    [
        itself,
        ProxyFix,
        Slotted,
        by_closure,
        by_method,
        by_partial,
        by_global,
        by_mount,
        of_flask,
        of_mounted_flask,
        WsgiToAsgi,
        lambda inner: FlaskToAsgi(of_flask(inner)),
        lambda inner: ProxyFix(Slotted(by_closure(by_mount(inner)))),
    ],
)
def test_each_layer_is_found(wrap: Callable[[Any], object]) -> None:
    app = Flask("shop")
    debugged = DebuggedApplication(app)
    found = list(layers(wrap(debugged)))
    assert debugged in found
    assert app in found


def test_what_an_application_calls_is_no_layer() -> None:
    """Such as a view, a class or a lock; and what goes round in a circle has an end."""
    app = Flask("shop")
    views: dict[str, Any] = app.view_functions
    views["index"] = DebuggedApplication(app)
    ring = Slotted(None)
    ring._inner = [ring, app, threading.Lock(), DebuggedApplication, LocalProxy(lambda: app)]
    found = list(layers(ring))
    assert found[:2] == [ring, app]
    assert not [layer for layer in found if type(layer) is DebuggedApplication]
