# SPDX-License-Identifier: MIT
"""Serves one ``http`` scope: as one call of the application, unless the request is refused before."""

import asyncio
from collections.abc import Awaitable

from ashapp.bridge.admission.in_flight import Admission
from ashapp.bridge.messages.errors import (
    ClientDisconnected,
    RequestRejected,
    RequestTimeout,
    send_problem,
    send_timeout,
)
from ashapp.bridge.messages.types import Send
from ashapp.bridge.request.wsgi_call import WsgiCall

__all__ = ["refuse", "serve"]


async def refuse(admission: Admission, error: Exception, send: Send) -> None:
    """Answer a request that could not begin because of *error*. *admission* has counted it.

    Raises:
        Exception: *error*, if clients get no answer for it.
    """
    try:
        if not isinstance(error, RequestRejected):
            raise error
        await send_problem(send, error.status, error.detail, error.headers)
    finally:
        admission.leave()
        del error  # its traceback leads to this frame


def serve(call: WsgiCall, send: Send) -> Awaitable[None]:
    """Return the awaitable that serves the request of *call*, which has been counted.

    On the loop that is the call itself: each coroutine in between would take memory while the view waits.
    """
    if call.place == "thread" or call.body.announced:
        return _serve(call, send)
    call.on_end = call.leave
    return call.respond(send)


async def _serve(call: WsgiCall, send: Send) -> None:
    admission = call.service.admission
    has_begun = False
    try:
        if call.body.announced:
            await _take_in(call)
        call.submit()
        has_begun = True
        await call.respond(send)
    except RequestRejected as rejection:
        await send_problem(send, rejection.status, rejection.detail, rejection.headers)
    except RequestTimeout:
        await send_timeout(send, call.service.request_timeout)
    except ClientDisconnected:
        pass  # before it could begin: there is nobody to answer
    finally:
        if not call.is_complete:
            call.note_route()
        if has_begun:  # what the server has given up may still run on its thread
            call.when_ended(admission.leave)
        else:
            call.body.stop()
            admission.leave()


async def _take_in(call: WsgiCall) -> None:
    """Return when a request with a body may begin; see ``Intake``."""
    intake = call.service.intake
    if call.place == "loop":
        intake.let_in(call.body)
        return
    try:
        async with asyncio.timeout_at(call.deadline):
            await intake.admit(call.body)
    except TimeoutError as error:
        raise RequestTimeout from error
