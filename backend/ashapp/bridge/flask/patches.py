# SPDX-License-Identifier: MIT
"""What the bridge replaces in other projects, mostly Flask and Werkzeug, and the internals that it reads.

``TABLE`` lists all of it. A test goes through the table by name: it fails where upstream has renamed or
removed something, where a function takes other parameters, and where another file touches an internal.

Methods of an application are replaced on the *object*, unless the application or a tool has done so before.
All others are replaced once for the process, when the first application is wrapped.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flask.ctx
from blinker import Signal
from werkzeug.wrappers import Response

from ashapp.bridge.flask import accelerators
from ashapp.bridge.flask.accelerators.wsgi_responses import REPLACED as WSGI_RESPONSE
from ashapp.bridge.flask.accelerators.wsgi_responses import get_wsgi_response
from ashapp.bridge.flask.bodies import adopt_request_reads
from ashapp.bridge.flask.copied_contexts import update_wrapper
from ashapp.bridge.flask.signals import SIGNALS, send, send_any
from ashapp.bridge.loop_or_thread.hindrances import is_original

__all__ = ["READ", "REPLACED", "TABLE", "TESTED", "Patch", "replace"]

#: The releases that the tests of this folder and of ``placement`` have been run with.
TESTED = {
    "flask": ("3.0.3", "3.1.3", "3.2.0.dev"),
    "werkzeug": ("3.0.6", "3.1.9"),
    "blinker": ("1.8.2", "1.9.0"),
    "asgiref": ("3.11.1", "3.13.0"),
    "python-engineio": ("4.15.1",),
}


class Patch(NamedTuple):
    """Something of another project that is replaced, or an internal that is read.

    *takes* are the parameters of a function that the replacement relies on. It is empty if *name* is no
    function, and if the replacement passes all arguments on. *files* of the bridge touch it.
    """

    name: str
    why: str
    files: str
    takes: str = ""
    issue: str = ""


_DISPATCH = "flask/dispatch.py"
_INDEX = "flask/accelerators/rule_index.py"
_CONTEXTS = "flask/accelerators/contexts.py"
_DISPATCHING = "flask/accelerators/dispatching.py"
_ASYNC_DISPATCH = "flask/async_dispatch.py"
_REQUESTS = "flask/accelerators/requests.py"
_RESPONSES = "flask/accelerators/responses.py"
_STREAM = "streams/sync_stream.py"
_SESSIONS = "flask/accelerators/sessions.py"
_WSGI_RESPONSES = "flask/accelerators/wsgi_responses.py"
_ASGIREF = "concurrency/threads/executors.py concurrency/context.py"

_SYNC = "a sync function of an async view runs on the request thread, not on the loop"
_ASYNC = "a coroutine runs on the server's loop, not on one of its own"
_RESPONSE = "a view may return a bare coroutine or an async iterable"
_URL_DEFAULTS = "its functions are called without ensure_sync, and may block the loop"
_PREPROCESS = "the route is noted before anything that takes its time"
_TEARDOWN = "it is shielded from cancellation"
_CALLS = "it wants the results of functions that it calls, in a coroutine too, where others want awaitables"
_COPY = "copy_current_request_context of a coroutine function gives an awaitable on the loop"
_SIGNAL = "a sync receiver of one of Flask's signals runs on the request thread; a sender wants results"
_TURNS = "tasks of a view read the body by turns"
_CONVERTER = "a converter that may block is not called on the loop"
_MADE = "what Flask's constructor sets is set without it"
_MAIN_LOOP = "its main_event_loop leads asgiref's own async_to_sync to the server's loop"
_EXECUTOR = "its current leads sync_to_async to the thread of the request"
_CARRIED = "what a Local holds is seen by one thread, and a request has several"
_OUTLIVED = "sync code of a task that has outlived its request runs where asgiref sends it by default"

#: What is replaced.
REPLACED = (
    Patch("flask.Flask.ensure_sync", _SYNC, _DISPATCH, "self, func", "pallets/flask#3412"),
    Patch("flask.Flask.async_to_sync", _ASYNC, _DISPATCH, "self, func", "pallets/flask#4661"),
    Patch("flask.Flask.make_response", _RESPONSE, _DISPATCH, "self, rv", "pallets/flask#4641"),
    Patch("flask.Flask.inject_url_defaults", _URL_DEFAULTS, _DISPATCH, "self, endpoint, values"),
    Patch("flask.Flask.preprocess_request", _PREPROCESS, _DISPATCH),
    Patch("flask.Flask.do_teardown_request", _TEARDOWN, _DISPATCH),
    Patch("flask.Flask.do_teardown_appcontext", _TEARDOWN, _DISPATCH),
    Patch("flask.Flask.create_url_adapter", "accelerated", "flask/accelerators/matching.py", "self, request"),
    Patch("flask.Flask.request_context", "accelerated", _CONTEXTS, "self, environ"),
    Patch("flask.Flask.full_dispatch_request", f"{_CALLS}; accelerated", f"{_DISPATCH} {_DISPATCHING}"),
    Patch("flask.Flask.handle_exception", _CALLS, _DISPATCH),
    Patch("flask.Flask.update_template_context", _CALLS, _DISPATCH),
    Patch("flask.ctx.update_wrapper", _COPY, "flask/patches.py"),
    Patch(
        *("flask.sessions.SecureCookieSessionInterface.get_signing_serializer", "accelerated", _SESSIONS),
        "self, app",
    ),
    Patch("blinker.Signal.send", _SIGNAL, "flask/signals.py", "self, sender, _async_wrapper, kwargs"),
    Patch("werkzeug.wrappers.Request.get_data", _TURNS, "flask/bodies.py"),
    Patch("werkzeug.wrappers.Request._load_form_data", _TURNS, "flask/bodies.py"),
    Patch("werkzeug.wrappers.Response.get_wsgi_response", "accelerated", _WSGI_RESPONSES, "self, environ"),
    Patch(
        "werkzeug.routing.BaseConverter.to_python", _CONVERTER, "loop_or_thread/converters.py", "self, value"
    ),
    Patch("werkzeug.routing.Map._matcher", "accelerated", _INDEX),
    Patch("asgiref.sync.SyncToAsync.threadlocal", _MAIN_LOOP, "concurrency/serving_thread.py"),
    Patch("asgiref.sync.AsyncToSync.executors", _EXECUTOR, _ASGIREF, issue="django/asgiref#347"),
    Patch(
        "engineio.Server._async", "adopt_socketio moves what only waits", "websocket/libraries/socket_io.py"
    ),
)

#: Internals that are read.
READ = (
    Patch(
        "werkzeug.routing.Rule._converters", "there is no public way to them", "loop_or_thread/converters.py"
    ),
    Patch("werkzeug.routing.matcher.StateMachineMatcher._root", "the tree that is indexed", _INDEX),
    Patch(
        *("werkzeug.wrappers.Response._on_close", "close() may call nothing"),
        f"request/async_bodies.py {_RESPONSES}",
    ),
    Patch("werkzeug.wrappers.Response._status", _MADE, f"{_RESPONSES} {_WSGI_RESPONSES}"),
    Patch("werkzeug.wrappers.Response._status_code", _MADE, f"{_RESPONSES} {_WSGI_RESPONSES}"),
    Patch("werkzeug.datastructures.Headers._list", _MADE, f"{_REQUESTS} {_RESPONSES} {_WSGI_RESPONSES}"),
    Patch("flask.Flask._got_first_request", "it is Flask's to set it", _DISPATCHING),
    Patch(
        *("flask.globals._cv_app", "its proxies are slow, and can't be set"),
        f"{_CONTEXTS} {_DISPATCHING} {_ASYNC_DISPATCH} {_STREAM}",
    ),
    Patch("flask.ctx.AppContext._cv_token", "the thread of a stream leaves the context", _STREAM),
    Patch(
        "flask.globals._cv_request", "its proxies are slow", f"{_CONTEXTS} {_DISPATCHING} {_ASYNC_DISPATCH}"
    ),
    Patch("flask.ctx.AppContext._cv_tokens", _MADE, _CONTEXTS),
    Patch("flask.ctx.RequestContext._cv_tokens", _MADE, _CONTEXTS),
    Patch("flask.ctx.RequestContext._session", _MADE, f"{_CONTEXTS} {_DISPATCHING}"),
    Patch("flask.ctx.RequestContext._after_request_functions", _MADE, f"{_CONTEXTS} {_DISPATCHING}"),
    Patch("werkzeug.local.LocalProxy._get_current_object", "documented", "flask/copied_contexts.py"),
    Patch("json.encoder.c_make_encoder", "json makes another one around it", _RESPONSES),
    Patch("asgiref.local._Storage", _CARRIED, "concurrency/threads/asgiref_locals.py", "thread_id, data"),
    Patch("asgiref.sync.SyncToAsync.single_thread_executor", _OUTLIVED, "concurrency/threads/executors.py"),
)

#: All of it.
TABLE = REPLACED + READ


def replace(app: flask.Flask, methods: dict[str, Callable[..., Any]]) -> None:
    """Replace *methods* of *app*, by their names, and for the process what the table says."""
    vars(app).update(methods)
    if is_original(Signal, "send", "blinker.base"):
        Signal.send = send_any  # type: ignore[method-assign]
    for signal in SIGNALS:
        if "send" not in vars(signal):
            vars(signal)["send"] = partial(send, signal)
    vars(flask.ctx)["update_wrapper"] = update_wrapper
    adopt_request_reads()
    if accelerators.ENABLED and WSGI_RESPONSE.are_those_of(Response):
        Response.get_wsgi_response = get_wsgi_response  # type: ignore[method-assign]
