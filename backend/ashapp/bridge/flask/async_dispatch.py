# SPDX-License-Identifier: MIT
"""Flask's ``wsgi_app`` as a coroutine, which awaits async views.

Theory of operation. If Flask's own code calls an async view, a greenlet holds the frames of that code while
the view waits. They are most of the memory of a waiting request. So if the application overrides no method on
the way from the bridge to the view, a coroutine does the work of ``wsgi_app``, in the same order. It still
runs in greenlets (see ``GreenletDriver``): all but the view is sync code, which may have to wait. But while
the view waits, there is no greenlet.

The methods on the way are checked once for all requests that begin in one turn of the loop. Each request was
read in an earlier turn. So it sees all replacements that were made before its client sent it. A method that
is replaced while a view waits is called for the response of that view.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import flask
from flask.app import Flask

from ashapp.bridge.flask.accelerators.contexts import DISPATCH, REQUEST_CONTEXT, Contexts
from ashapp.bridge.flask.accelerators.dispatching import Dispatching
from ashapp.bridge.flask.accelerators.originals import AsReplaced, Originals
from ashapp.bridge.flask.accelerators.wsgi_responses import responses_hold, whole_response
from ashapp.bridge.messages.types import Environ
from ashapp.bridge.request.loop_call import LoopCall

__all__ = ["AsyncDispatch"]

# The methods on the way from the bridge to an async view.
_WAY = Originals(Flask, "__call__ wsgi_app full_dispatch_request ensure_sync async_to_sync", 0x0EF8D1F6)
_PRESERVE = "werkzeug.debug.preserve_context"


class AsyncDispatch:
    """Dispatches requests of *app* that have contexts of *contexts*, by *dispatching*.

    *replacements* are called in place of methods of *app*.
    """

    # The result of the check in this turn of the loop, and that loop.
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
        self._methods = AsReplaced(app, replacements, _WAY, REQUEST_CONTEXT, DISPATCH)

    def begin(self, call: LoopCall) -> Coroutine[Any, Any, None] | None:
        """Return the coroutine that serves *call*; None: the application is called."""
        if self._turn_of is not call.loop:
            self._is_direct = self._look()
            self._turn_of = call.loop
            call.loop.call_soon(self._end_turn)
        is_served = self._is_direct and call.service.application is self._app
        return self._serve(call) if is_served else None

    def _end_turn(self) -> None:
        self._turn_of = None

    def _look(self) -> bool:
        """Say whether the application overrides no method in between."""
        return (
            self._methods.are_known
            and self._dispatching.has_begun
            and self._methods.still_hold()
            and _WAY.are_those_of(type(self._app))
            and self._contexts.classes_hold()
            and responses_hold()
        )

    async def _serve(self, call: LoopCall) -> None:
        """Do the work of ``flask.Flask.wsgi_app``, in one coroutine: each further one would take memory."""
        dispatching, context = self._dispatching, self._contexts.make(call.environ)
        error: BaseException | None = None
        try:
            try:
                context.push()
                rv = dispatching.call_view(context.request, call, awaits=call.phase.may_be_cancelled)
                if hasattr(rv, "__await__") and call.phase.may_be_cancelled:
                    try:
                        call.greenlet.depth += 1  # code in there finds itself in a coroutine
                        try:
                            rv = await rv
                        finally:
                            call.greenlet.depth -= 1
                    except Exception as raised:
                        rv = self._app.handle_user_exception(raised)
                response = dispatching.finalize(context, rv, call)
            except Exception as raised:
                error = raised
                response = self._app.handle_exception(raised)
            except BaseException as raised:
                call.look_at(raised)
                error = raised
                raise
            send = self._begin_response(response, call)
        finally:
            self._leave(context, call.environ, error)
            del error  # its traceback leads to this frame
        send()

    def _begin_response(self, response: Any, call: LoopCall) -> Callable[[], None]:
        """Begin *response*, and return what sends it."""
        holds = self._turn_of is call.loop or responses_hold()
        whole = whole_response(response, call.environ) if holds else None
        if whole is None:
            return partial(call.send_all, response(call.environ, call.start_response))
        status, headers, body = whole
        call.start_response(status, headers)
        return partial(call.send_whole, body, response.close)

    def _leave(self, context: Any, environ: Environ, error: BaseException | None) -> None:
        if _PRESERVE in environ:
            environ[_PRESERVE](flask.globals._cv_app.get())  # noqa: SLF001 - see ``patches``
            environ[_PRESERVE](flask.globals._cv_request.get())  # noqa: SLF001
        if error is not None and self._app.should_ignore_error(error):
            error = None
        context.pop(error)
