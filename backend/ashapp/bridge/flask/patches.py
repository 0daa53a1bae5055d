# SPDX-License-Identifier: MIT
"""The callables of a Flask application: where each of them runs, once Flask asks.

Flask passes every function that the application gave it through ``ensure_sync`` when it calls it, and
coroutine functions from there to ``async_to_sync``. These two are replaced on the application object, and so
decide, call by call: in a greenlet a coroutine is awaited and a sync function goes to the thread of the
request; on a thread a coroutine goes to the server's loop and a sync function is simply called.
``make_response`` is replaced to take what a view may return besides: a bare coroutine (from a decorator that
forgot ``ensure_sync``) and async iterables. ``do_teardown_request`` and ``do_teardown_appcontext`` are
replaced to shield what they call from cancellation, and ``inject_url_defaults`` to run on the request thread.
Outside a request of the bridge (the command line, the test client) all do what they did.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from contextvars import copy_context
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import flask
from flask.app import Flask
from werkzeug.exceptions import HTTPException

from ashapp.bridge.concurrency.async_to_sync import complete, finish, run_on_loop
from ashapp.bridge.concurrency.greenlets import current_call, current_greenlet
from ashapp.bridge.concurrency.private_loop import OwnLoop, is_own_loop
from ashapp.bridge.flask.accelerators.matching import UrlAdapters
from ashapp.bridge.flask.accelerators.stages import stages_of
from ashapp.bridge.flask.attributes import attribute_of
from ashapp.bridge.flask.bodies import ContextBody, adopt_body, adopt_request_reads, as_body
from ashapp.bridge.flask.copied_contexts import CopiedContexts, current_context
from ashapp.bridge.flask.originals import is_original
from ashapp.bridge.flask.signals import adopt_signals
from ashapp.bridge.placement.converters import on_loop
from ashapp.bridge.placement.nonblocking import is_nonblocking
from ashapp.bridge.placement.rules import Placement
from ashapp.bridge.placement.thread_views import is_kept, keeps_all
from ashapp.bridge.placement.views import makes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ashapp.bridge.messages.request_info import RequestInfo
    from ashapp.bridge.messages.types import Environ

__all__ = ["Callables"]

# Packages that call what the application registered, and take what it returns.
_SYNC_CALLERS = {"ashapp", "blinker", "flask"}

# What most views return, and needs nothing done before Flask takes it.
_PLAIN = {bytes, dict, list, str}


class Callables:
    """Takes the place of the methods of *app* through which its callables pass."""

    def __init__(self, app: flask.Flask) -> None:
        # The loops that serve the application, of all its bridges; and the last of them to begin.
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.placement = Placement(app)
        self._app = app
        self._copied_contexts = CopiedContexts()
        self._async_to_sync = app.async_to_sync
        self._ensure_sync = app.ensure_sync
        self._make_response = app.make_response
        self._url_adapters = UrlAdapters(app) if UrlAdapters.applies_to(app) else None
        replaced: dict[str, Any] = {
            "make_response": self.make_response,
            **stages_of(app, self._copied_contexts.is_left_early),
        }
        if getattr(app.inject_url_defaults, "__func__", None) is Flask.inject_url_defaults:
            replaced["inject_url_defaults"] = partial(self._inject_url_defaults, app.inject_url_defaults)
        for name in ("async_to_sync", "ensure_sync"):
            if name in vars(app):
                self.placement.kept = name  # the application's own, set on the object
            elif getattr(type(app), name) is getattr(Flask, name) and is_original(Flask, name, "flask.app"):
                replaced[name] = getattr(self, name)
        if self._url_adapters is not None:
            replaced["create_url_adapter"] = self._url_adapters.create_url_adapter
        vars(app).update(replaced)
        app.extensions["ashapp"] = self
        adopt_signals()
        adopt_request_reads()

    def enter_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take note that the application is served on *loop*."""
        self._loops.add(loop)
        self._loop = loop

    def runs_on_loop(self, environ: Environ) -> bool:
        """Say whether the view for *environ* runs on the loop; matches the request, if need be."""
        if self._url_adapters is None or not self.placement.may_be_on_loop():
            return False
        match = self._url_adapters.match
        rule = on_loop(match, environ) if self.placement.guarded else match(environ)
        return rule is not None and self.placement.of(rule.endpoint).on_loop

    def note_route(self, info: RequestInfo, environ: Environ) -> None:
        """Note which rule a request matches that has not got as far as that. On the loop."""
        if self._url_adapters is not None:
            rule = on_loop(self._url_adapters.match, environ)
            if rule is not None:
                info.route, info.endpoint = rule.rule, rule.endpoint

    def is_isolated(self, endpoint: str) -> bool:
        """Say whether requests for *endpoint* have thread-local values of their own. On a thread."""
        return self.placement.of(endpoint).isolated

    def wants_own_loop(self) -> bool:
        """Say whether the coroutines of the current request are kept off the server's loop. On a thread."""
        if keeps_all(self._app):
            return True
        endpoint = flask.request.endpoint if flask.has_request_context() else None
        return endpoint is not None and self.placement.of(endpoint).own_loop

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return *func* as something that sync code may call here; see ``flask.Flask.ensure_sync``."""
        if (type(func) is FunctionType and func.__code__.co_flags & inspect.CO_COROUTINE) or (
            inspect.iscoroutinefunction(func)
        ):
            return self._app.async_to_sync(func)
        greenlet = current_greenlet()
        if greenlet is None or is_nonblocking(func):
            return func
        return partial(_call_sync, func)

    def async_to_sync(self, func: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        """Return a sync function that runs the coroutine of *func* on the server's loop, or on its own."""
        kept = is_kept(func)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            # Nearly always it is this, and then each call in between would hold memory while the view waits.
            greenlet = current_greenlet()
            if greenlet is not None and not greenlet.depth:
                if kept:
                    return greenlet.driver.run_on_request_thread(_call_on_own_loop, func, *args, **kwargs)
                return greenlet.driver.run_coroutine(func(*args, **kwargs))
            if kept and greenlet is None and current_call() is not None:
                return _call_on_own_loop(func, *args, **kwargs)
            return self._call(func, *args, **kwargs)

        return wrapped

    def _call(self, func: Callable[..., Coroutine[Any, Any, Any]], /, *args: Any, **kwargs: Any) -> Any:
        greenlet = current_greenlet()
        if greenlet is not None and greenlet.depth and (wrapped := self._as_awaitable(_caller())):
            return wrapped(func, args, kwargs)
        if greenlet is not None or current_call() is not None:
            return complete(func(*args, **kwargs))
        running, loop = asyncio._get_running_loop(), self._loop  # noqa: SLF001 - the one that does not raise
        is_served = loop is not None and loop.is_running() and not keeps_all(self._app)
        if running is None and loop is not None and is_served:
            # A thread of the application's own: a copy of its context has to do.
            return run_on_loop(func(*args, **kwargs), loop, copy_context())
        if (running in self._loops or is_own_loop(running)) and (wrapped := self._as_awaitable(_caller())):
            return wrapped(func, args, kwargs)  # in a task that a view has made
        return self._async_to_sync(func)(*args, **kwargs)

    def _as_awaitable(self, caller: str) -> Callable[..., Any] | None:
        """Return what makes an awaitable of a call, or None for a *caller* that wants the result."""
        if caller == "flask.ctx":
            return self._copied_contexts.call
        return None if caller.partition(".")[0] in _SYNC_CALLERS else _apply

    def make_response(self, rv: Any) -> flask.Response:
        """Make a response of what a view returned; see ``flask.Flask.make_response``."""
        if type(rv) not in _PLAIN:
            if inspect.iscoroutine(rv):
                rv = self._await(rv)
            if isinstance(rv, HTTPException):  # by ``flask.abort``
                adopt_body(attribute_of(rv, "response"))
            if inspect.isasyncgen(rv) and makes(self._view(), rv):
                rv = ContextBody(rv)
            rv = (as_body(rv[0]), *rv[1:]) if isinstance(rv, tuple) and rv else as_body(rv)
        response = self._make_response(rv)
        adopt_body(response)
        return response

    def _view(self) -> Any:
        return self._app.view_functions.get(attribute_of(flask.request, "endpoint") or "")

    def _await(self, rv: Coroutine[Any, Any, Any]) -> Any:
        # Flask believes that the view has returned: what it raises now would never see an error handler.
        try:
            return self._app.async_to_sync(finish)(rv)
        except Exception as error:
            handle = self._app.handle_user_exception
            if len(inspect.signature(handle).parameters) > 1:  # the context, since Flask 3.2
                handle = partial(handle, current_context())
            return handle(error)

    def _inject_url_defaults(self, function: Callable[..., None], /, *args: Any, **kwargs: Any) -> None:
        by_blueprint = self._app.url_default_functions.values()
        if all(is_nonblocking(function) for functions in by_blueprint for function in functions):
            function(*args, **kwargs)
        else:  # which Flask calls without ``ensure_sync``
            _call_sync(function, *args, **kwargs)


def _call_sync(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    # Where it is called counts, not where it was wrapped: it may be handed to a thread or to a task.
    greenlet = current_greenlet()
    if greenlet is None:
        return func(*args, **kwargs)
    return greenlet.driver.run_on_request_thread(func, *args, **kwargs)


def _call_on_own_loop(func: Callable[..., Coroutine[Any, Any, Any]], /, *args: Any, **kwargs: Any) -> Any:
    call = current_call()
    if call is None or is_own_loop(call.coroutine_loop()):
        return complete(func(*args, **kwargs))
    with OwnLoop(call.grace) as own:
        return run_on_loop(func(*args, **kwargs), own.loop, call.context, call)


def _apply(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return func(*args, **kwargs)


def _caller() -> str:
    """Return the name of the module that called what ``async_to_sync`` returned, which called ``_call``."""
    name: str = sys._getframe(3).f_globals.get("__name__", "")  # noqa: SLF001
    return name
