# SPDX-License-Identifier: MIT
"""Flask's ``wsgi_app`` as a coroutine, in which an async view is awaited.

Theory of operation. Where Flask's own code calls an async view, a greenlet holds the frames in between while
the view waits. That is most of what a waiting request takes in memory. So where the application has no
method of its own on the way from the bridge to the view, ``wsgi_app`` is a coroutine here, which does the
same in the same order. It is run in greenlets all the same (see ``GreenletDriver``): all but the view is sync
code, which may have to wait. While the view waits, there is no greenlet.

What is in between is looked at once for all requests that begin in one turn of the loop. Each has been read
in an earlier turn. So what has been replaced before a client sends a request is seen by that request. What is
replaced while a view waits is seen by its response.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import flask.globals
from flask.app import Flask

from ashapp.bridge.flask.accelerators.contexts import METHODS, Contexts
from ashapp.bridge.flask.accelerators.dispatching import Dispatching
from ashapp.bridge.flask.accelerators.originals import AsReplaced, Originals
from ashapp.bridge.flask.accelerators.wsgi_responses import responses_hold, whole_response
from ashapp.bridge.loop_or_thread.marks import is_kept
from ashapp.bridge.loop_or_thread.views import makes_coroutine
from ashapp.bridge.messages.types import Environ
from ashapp.bridge.request.loop_call import LoopCall

__all__ = ["AsyncDispatch"]

# By which the bridge gets to the view, if it is async.
_METHODS = ("wsgi_app", "full_dispatch_request", "ensure_sync", "async_to_sync")
_FLASK = Originals("flask.app.Flask", "__call__", *_METHODS)
_PRESERVE = "werkzeug.debug.preserve_context"


class AsyncDispatch:
    """Dispatches requests of *app* that have contexts of *contexts*, by *dispatching*.

    *replacements* are what is called in place of methods of *app*.
    """

    # What has been found in this turn of the loop, and that loop.
    _is_direct = False
    _turn_of: asyncio.AbstractEventLoop | None = None

    def __init__(
        self,
        app: Flask,
        contexts: Contexts,
        dispatching: Dispatching,
        replacements: Mapping[str, Callable[..., Any]],
    ) -> None:
        self._app = app
        self._contexts = contexts
        self._dispatching = dispatching
        self._methods = AsReplaced(app, replacements, *_METHODS, "request_context", *METHODS)

    def begin(self, call: LoopCall) -> Coroutine[Any, Any, None] | None:
        """Return what serves *call*, or None where its application is to be called."""
        if self._turn_of is not call.loop:
            self._is_direct = self._look()
            self._turn_of = call.loop
            call.loop.call_soon(self._end_turn)
        is_served = self._is_direct and call.service.application is self._app
        return self._serve(call) if is_served else None

    def _end_turn(self) -> None:
        self._turn_of = None

    def _look(self) -> bool:
        """Say whether the application has no method of its own in between."""
        return (
            self._methods.are_known
            and self._methods.still_hold()
            and _FLASK.are_those_of(type(self._app))
            and self._contexts.classes_hold()
            and responses_hold()
        )

    async def _serve(self, call: LoopCall) -> None:
        """Do what ``flask.Flask.wsgi_app`` does, in one coroutine: while it waits, each one takes memory."""
        app, environ = self._app, call.environ
        context = self._contexts.make(environ)
        error: BaseException | None = None
        try:
            try:
                context.push()
                response, coroutine = self._begin_view(context, call)
                if coroutine is not None:
                    try:
                        call.greenlet.depth += 1  # code in there finds itself in a coroutine
                        try:
                            rv = await coroutine
                        finally:
                            call.greenlet.depth -= 1
                    except Exception as raised:
                        rv = app.handle_user_exception(raised)
                    response = self._dispatching.finalize(context, rv, call)
            except Exception as raised:
                error = raised
                response = app.handle_exception(raised)
            except BaseException as raised:
                call.look_at(raised)
                error = raised
                raise
            holds = self._turn_of is call.loop or responses_hold()
            whole = whole_response(response, environ) if holds else None
            if whole is None:
                iterable = response(environ, call.start_response)
            else:
                status, headers, body = whole
                call.start_response(status, headers)
        finally:
            self._leave(context, environ, error)
            del error  # its traceback leads to this frame
        if whole is None:
            call.send_all(iterable)
        else:
            call.send_whole(body, response.close)

    def _begin_view(self, context: Any, call: LoopCall) -> tuple[Any, Coroutine[Any, Any, Any] | None]:
        """Return the response and None, or None and the coroutine of the view, which is to be awaited.

        It is what ``flask.Flask.full_dispatch_request`` does.
        """
        app, dispatching = self._app, self._dispatching
        if not dispatching.knows(context):
            return app.full_dispatch_request(), None
        try:
            view, rv = dispatching.find_view(context.request, call)
            if view is not None:
                arguments = context.request.view_args
                if makes_coroutine(view) and not is_kept(view) and call.phase.may_be_cancelled:
                    return None, view(**arguments)
                rv = app.ensure_sync(view)(**arguments)
        except Exception as error:
            rv = app.handle_user_exception(error)
        return dispatching.finalize(context, rv, call), None

    def _leave(self, context: Any, environ: Environ, error: BaseException | None) -> None:
        if _PRESERVE in environ:
            environ[_PRESERVE](flask.globals._cv_app.get())  # noqa: SLF001 - see ``patches``
            environ[_PRESERVE](flask.globals._cv_request.get())  # noqa: SLF001
        if error is not None and self._app.should_ignore_error(error):
            error = None
        context.pop(error)
