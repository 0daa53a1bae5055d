# SPDX-License-Identifier: MIT
"""Replaces methods of a Flask object, to decide where each function of the application runs.

Theory of operation. Flask calls every function of the application through ``ensure_sync``, and coroutine
functions from there through ``async_to_sync``. Both decide at each call. In a greenlet a coroutine is
awaited, and a sync function goes to the thread of the request. On a thread a coroutine goes to the server's
loop, and a sync function is simply called. In both cases the caller gets the result. Code that a coroutine
calls gets an awaitable instead, unless it is Flask's own (see ``callers``).

``make_response`` also takes a bare coroutine, from a decorator that forgot ``ensure_sync``, and async
iterables. Teardown is shielded from cancellation. ``inject_url_defaults`` runs on the request thread, for
Flask calls its functions without ``ensure_sync``. Outside a request of the bridge (the command line, the test
client) all do what they did.
"""

import asyncio
import inspect
import os
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import chain
from typing import Any

import flask
from flask.app import Flask
from werkzeug.exceptions import HTTPException

from ashapp.bridge.concurrency.async_to_sync import run_coroutine, run_on_loop
from ashapp.bridge.concurrency.context import as_of_request
from ashapp.bridge.concurrency.futures import as_coroutine
from ashapp.bridge.concurrency.greenlets.current import current_call, current_greenlet
from ashapp.bridge.concurrency.own_loop import OwnLoop, is_own_loop
from ashapp.bridge.flask import accelerators, patches
from ashapp.bridge.flask.accelerators.contexts import Contexts
from ashapp.bridge.flask.accelerators.dispatching import Dispatching
from ashapp.bridge.flask.accelerators.matching import ARE_KNOWN, UrlAdapters
from ashapp.bridge.flask.accelerators.responses import PLAIN
from ashapp.bridge.flask.async_dispatch import AsyncDispatch
from ashapp.bridge.flask.bodies import ContextBody, adopt_body, as_body
from ashapp.bridge.flask.callers import as_flask, wants_awaitable
from ashapp.bridge.flask.copied_contexts import current_context
from ashapp.bridge.flask.routing import Routing, note_match
from ashapp.bridge.flask.static_files import serve_static
from ashapp.bridge.loop_or_thread.hindrances import binds_as_flask, is_flasks_own
from ashapp.bridge.loop_or_thread.marks import (
    ASYNC_VIEWS,
    is_kept,
    is_nonblocking,
    keeps_on_threads,
    nonblocking,
)
from ashapp.bridge.loop_or_thread.placement import Placement
from ashapp.bridge.loop_or_thread.static_files import folder_of
from ashapp.bridge.loop_or_thread.views import blueprints_of, makes, makes_coroutine
from ashapp.bridge.messages.attributes import attribute_of
from ashapp.bridge.request.loop_call import Begin

__all__ = ["Dispatch"]

# Methods that call functions of the application, and may be called in a coroutine: by a test client, or by
# ``render_template``. Other such methods are replaced anyway.
_CALLERS = ("full_dispatch_request", "handle_exception", "update_template_context")


class Dispatch:
    """Dispatches the requests of *app*, of all its bridges."""

    #: Returns a coroutine to await for a call, or None: the application is called.
    begin: Begin | None = None

    def __init__(self, app: flask.Flask) -> None:
        self.placement = Placement(app)
        self._app = app
        # The last loop that began to serve the application.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._async_to_sync = app.async_to_sync
        self._make_response = app.make_response
        is_quick = accelerators.ENABLED and ARE_KNOWN and binds_as_flask(app)
        adapters = UrlAdapters(app) if is_quick else None
        #: Knows the rule of a request before Flask does.
        self.routing = Routing(app, self.placement, adapters)
        patches.replace(app, self._replacements(app, adapters))
        app.extensions["ashapp"] = self

    def _replacements(self, app: flask.Flask, adapters: UrlAdapters | None) -> dict[str, Callable[..., Any]]:
        methods: dict[str, Callable[..., Any]] = {
            "make_response": self.make_response,
            "preprocess_request": partial(_preprocess, as_flask(app.preprocess_request)),
        }
        for name in _CALLERS:
            if is_flasks_own(app, name):
                methods[name] = nonblocking(as_flask(getattr(app, name)))
        for name in ("do_teardown_request", "do_teardown_appcontext"):
            methods[name] = partial(_shielded, as_flask(getattr(app, name)))
        if getattr(app.inject_url_defaults, "__func__", None) is Flask.inject_url_defaults:
            methods["inject_url_defaults"] = partial(self._inject_url_defaults, app.inject_url_defaults)
        for name in ("async_to_sync", "ensure_sync"):
            if is_flasks_own(app, name):
                methods[name] = getattr(self, name)
        if adapters is not None:
            methods["create_url_adapter"] = adapters.create_url_adapter
        if accelerators.ENABLED and "full_dispatch_request" in methods:
            self._accelerate(app, methods)
        return methods

    def _accelerate(self, app: flask.Flask, methods: dict[str, Callable[..., Any]]) -> None:
        """Add the methods that dispatch faster to *methods* of *app*, if they know this release of Flask."""
        contexts = Contexts(app, methods)
        if contexts.are_known:
            dispatching = Dispatching(app, contexts, methods["make_response"])
            methods["request_context"] = contexts.request_context
            methods["full_dispatch_request"] = nonblocking(as_flask(dispatching.full_dispatch_request))
            self.begin = AsyncDispatch(app, contexts, dispatching, methods).begin

    def enter_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take note that the application is served on *loop*."""
        self._loop, self._pid = loop, os.getpid()

    def wants_own_loop(self) -> bool:
        """Say whether the coroutines of the current request are kept off the server's loop. On a thread."""
        if keeps_on_threads(self._app, ASYNC_VIEWS):
            return True
        endpoint = flask.request.endpoint if flask.has_request_context() else None
        return endpoint is not None and self.placement.of(endpoint).own_loop

    @nonblocking
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return *func* as something that sync code may call here; see ``flask.Flask.ensure_sync``."""
        if makes_coroutine(func):
            return self._app.async_to_sync(func)
        greenlet = current_greenlet()
        if greenlet is None or is_nonblocking(func):
            return func
        folder = folder_of(self._app, func)
        if folder is not None and self._serves_files(func):
            return partial(_call_sync, serve_static, folder, func)
        return partial(_call_sync, func)

    def _serves_files(self, view: Callable[..., Any]) -> bool:
        """Say whether *view*, of a static folder, is that of the current request, and unchanged."""
        if not flask.has_request_context() or view is not self._view():
            return False
        return self.placement.of(flask.request.endpoint or "").serves_files

    @nonblocking
    def async_to_sync(self, func: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        """Return a sync function that runs the coroutine of *func* on the server's loop, or on its own."""
        kept = is_kept(func)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            # The usual case first: each further call in between would hold memory while the view waits.
            greenlet = current_greenlet()
            if greenlet is not None:
                if greenlet.depth != greenlet.sync_depth:
                    return func(*args, **kwargs)
                if kept and not is_own_loop(asyncio.get_running_loop()):
                    return greenlet.driver.run_on_request_thread(_call_on_own_loop, func, *args, **kwargs)
                return greenlet.driver.run_coroutine(func(*args, **kwargs))
            if current_call() is not None:
                return (
                    _call_on_own_loop(func, *args, **kwargs) if kept else run_coroutine(func(*args, **kwargs))
                )
            return self._call_outside(func, *args, **kwargs)

        return wrapped

    def _call_outside(
        self, func: Callable[..., Coroutine[Any, Any, Any]], /, *args: Any, **kwargs: Any
    ) -> Any:
        if wants_awaitable():
            return func(*args, **kwargs)
        # A forked child has a copy of the loop, which stands still.
        loop = self._loop if os.getpid() == self._pid else None
        is_in_coroutine = asyncio._get_running_loop() is not None  # noqa: SLF001 - the one that does not raise
        if (
            is_in_coroutine
            or loop is None
            or not loop.is_running()
            or is_kept(func)
            or keeps_on_threads(self._app, ASYNC_VIEWS)
        ):
            return self._async_to_sync(func)(*args, **kwargs)
        # It is a thread of the application's own.
        if flask.has_request_context():
            func = partial(as_of_request, func)
        return run_on_loop(func(*args, **kwargs), loop, None)

    def make_response(self, rv: Any) -> flask.Response:
        """Make a response of what a view returned; see ``flask.Flask.make_response``."""
        if type(rv) not in PLAIN:
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
        # For Flask the view has returned: an exception now would reach no error handler.
        try:
            return self._app.async_to_sync(as_coroutine)(rv)
        except Exception as error:
            handle = self._app.handle_user_exception
            if len(inspect.signature(handle).parameters) > 1:  # the context, since Flask 3.2
                handle = partial(handle, current_context())
            return handle(error)

    def _inject_url_defaults(self, function: Callable[..., None], endpoint: str, values: Any) -> None:
        by_blueprint = self._app.url_default_functions
        functions = (by_blueprint.get(name, ()) for name in (None, *blueprints_of(endpoint)))
        if by_blueprint and not all(map(is_nonblocking, chain.from_iterable(functions))):
            _call_sync(function, endpoint, values)
        else:
            function(endpoint, values)


def _call_sync(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    # The place of the call counts, not of the wrapping: it may be handed to a thread or to a task.
    greenlet = current_greenlet()
    if greenlet is None:
        return func(*args, **kwargs)
    return greenlet.driver.run_on_request_thread(func, *args, **kwargs)


def _call_on_own_loop(func: Callable[..., Coroutine[Any, Any, Any]], /, *args: Any, **kwargs: Any) -> Any:
    call = current_call()
    if call is None or is_own_loop(call.coroutine_loop()):
        return run_coroutine(func(*args, **kwargs))
    own = OwnLoop(call.grace)
    try:
        return run_on_loop(func(*args, **kwargs), own.loop, call)
    finally:
        own.leave()


def _preprocess(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Note which rule has matched, then call the first stage, which may take its time."""
    call = current_call()
    if call is not None and not call.matched and flask.has_request_context():
        note_match(call, flask.request)
    return function(*args, **kwargs)


def _shielded(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call *function*, a teardown, which must not be interrupted."""
    call = current_call()
    return function(*args, **kwargs) if call is None else call.tear_down(function, *args, **kwargs)
