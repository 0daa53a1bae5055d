# SPDX-License-Identifier: MIT
"""Stages of Flask's dispatch: skipped where the application has registered nothing for them, else shielded.

Each request goes through ``preprocess_request``, ``do_teardown_request`` and ``do_teardown_appcontext``.
Where no function is registered for such a stage, and nobody listens to its signal, Flask's own code has
nothing to do, which takes it a twelfth of the time that it needs for a small view. So the methods are
replaced on the application object, and look first. What they are called with is passed on as it is, and
a stage that is not Flask's own, be it replaced on the object, in a subclass or in ``Flask`` itself, before
this module is imported or after, is always called.

Where a middleware around the bridge takes notes, the first stage notes the rule that has matched.

A teardown must not be interrupted: while one runs, the call is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flask
from flask import appcontext_tearing_down, request_tearing_down
from flask.app import Flask

from ashapp.bridge.concurrency.greenlets import current_call
from ashapp.bridge.flask.originals import is_original

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["stages_of"]


def _own(name: str) -> Any:
    """Return the stage *name* as Flask brings it, or an object of its own where a tool has replaced it."""
    return getattr(Flask, name) if is_original(Flask, name, "flask.app") else object()


_PREPROCESS = _own("preprocess_request")
_TEAR_DOWN_REQUEST = _own("do_teardown_request")
_TEAR_DOWN_APPCONTEXT = _own("do_teardown_appcontext")


def stages_of(app: flask.Flask, is_left_early: Callable[[], bool]) -> dict[str, Callable[..., Any]]:
    """Return what takes the place of the stages of *app*, by their names.

    A teardown for which *is_left_early* says yes is left out.
    """
    return {
        "preprocess_request": _preprocess_request(app),
        "do_teardown_request": _do_teardown_request(app, is_left_early),
        "do_teardown_appcontext": _do_teardown_appcontext(app, is_left_early),
    }


def _preprocess_request(app: flask.Flask) -> Callable[..., Any]:
    function, kind = app.preprocess_request, type(app)
    may_skip = "preprocess_request" not in vars(app)

    def preprocess_request(*args: Any, **kwargs: Any) -> Any:
        _note_rule()
        idle = may_skip and not (app.before_request_funcs or app.url_value_preprocessors)
        if idle and kind.preprocess_request is _PREPROCESS:
            return None
        return function(*args, **kwargs)

    return preprocess_request


def _note_rule() -> None:
    """Note which rule has matched: the first stage of a request, before whatever may take its time."""
    call = current_call()
    # That of the outermost request: a test client that a view calls begins another one.
    if call is None or call.matched or not flask.has_request_context():
        return
    call.matched = True
    rule = flask.request.url_rule
    if rule is None:
        return
    info = call.info
    if info is not None and info.route is None:
        info.route, info.endpoint = rule.rule, rule.endpoint
    call.note_match(rule.endpoint)


def _do_teardown_request(app: flask.Flask, is_left_early: Callable[[], bool]) -> Callable[..., Any]:
    function, kind = app.do_teardown_request, type(app)
    may_skip = "do_teardown_request" not in vars(app)

    def do_teardown_request(*args: Any, **kwargs: Any) -> Any:
        idle = may_skip and not (app.teardown_request_funcs or request_tearing_down.receivers)
        if idle and kind.do_teardown_request is _TEAR_DOWN_REQUEST:
            return None
        return None if is_left_early() else _shielded(function, *args, **kwargs)

    return do_teardown_request


def _do_teardown_appcontext(app: flask.Flask, is_left_early: Callable[[], bool]) -> Callable[..., Any]:
    function, kind = app.do_teardown_appcontext, type(app)
    may_skip = "do_teardown_appcontext" not in vars(app)

    def do_teardown_appcontext(*args: Any, **kwargs: Any) -> Any:
        idle = may_skip and not (app.teardown_appcontext_funcs or appcontext_tearing_down.receivers)
        if idle and kind.do_teardown_appcontext is _TEAR_DOWN_APPCONTEXT:
            return None
        return None if is_left_early() else _shielded(function, *args, **kwargs)

    return do_teardown_appcontext


def _shielded(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    call = current_call()
    if call is None:
        return function(*args, **kwargs)
    outer, call.tearing_down = call.tearing_down, True
    try:
        return function(*args, **kwargs)
    finally:
        call.leave_teardown(outer)
