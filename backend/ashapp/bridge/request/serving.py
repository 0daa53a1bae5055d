# SPDX-License-Identifier: MIT
"""Serves one ``http`` scope: as one call of the application, unless the request is refused before."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ashapp.bridge.messages.errors import (
    ClientDisconnected,
    RequestRejected,
    RequestTimeout,
    send_problem,
    send_timeout,
)
from ashapp.bridge.request.thread_call import ThreadCall

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ashapp.bridge.admission.in_flight import Admission
    from ashapp.bridge.messages.types import Receive, Scope, Send
    from ashapp.bridge.request.service import Service
    from ashapp.bridge.request.uploads.intake import Intake
    from ashapp.bridge.request.wsgi_call import WsgiCall

__all__ = ["Bridge", "refuse", "serve", "serve_early"]


class Bridge(Protocol):
    """What serves the request."""

    #: How many requests there are, and may be.
    admission: Admission
    #: Where their bodies wait.
    intake: Intake
    #: What their calls share.
    service: Service

    def prepare(self, scope: Scope, receive: Receive) -> WsgiCall:
        """Return the call that serves a request; see ``WsgiToAsgi``."""
        ...

    def note_route(self, call: WsgiCall) -> None:
        """Note the route of a request that is given up; see ``WsgiToAsgi``."""
        ...


def serve_early(bridge: Bridge, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    """Prepare a request, which has been counted, and return what serves it.

    For an async view that is the call itself: each coroutine in between would take memory while that waits.
    """
    try:
        call = bridge.prepare(scope, receive)
    except Exception as error:
        return refuse(bridge, error, send)
    if call.body.announced or isinstance(call, ThreadCall):
        return serve(bridge, call, send)
    call.when_ended(partial(_leave, bridge, call))
    return call.respond(send)


def _leave(bridge: Bridge, call: WsgiCall) -> None:
    if not call.is_complete:
        bridge.note_route(call)
    bridge.admission.leave()


async def refuse(bridge: Bridge, error: Exception, send: Send) -> None:
    """Answer a request, which has been counted, that could not begin because of *error*.

    Raises:
        Exception: *error*, where it is none of which a client is told.

    """
    try:
        if not isinstance(error, RequestRejected):
            raise error
        await send_problem(send, error.status, error.detail, error.headers)
    finally:
        bridge.admission.leave()
        del error  # its traceback leads to this frame


async def serve(bridge: Bridge, call: WsgiCall, send: Send) -> None:
    """Serve the request of *call*, which has been counted."""
    has_begun = False
    try:
        if call.body.announced:
            await _take_in(bridge.intake, call)
        call.submit()
        has_begun = True
        await call.respond(send)
    except RequestRejected as rejection:
        await send_problem(send, rejection.status, rejection.detail, rejection.headers)
    except RequestTimeout:
        bridge.note_route(call)
        await send_timeout(send, bridge.service.request_timeout)
    except asyncio.CancelledError:
        bridge.note_route(call)
        raise
    except ClientDisconnected:
        pass  # before it could begin: there is nobody to answer
    finally:
        if has_begun:  # what the server has given up may still run on its thread
            call.when_ended(bridge.admission.leave)
        else:
            call.body.stop()
            bridge.admission.leave()


async def _take_in(intake: Intake, call: WsgiCall) -> None:
    """Return when a request with a body may begin; see ``Intake``."""
    if not isinstance(call, ThreadCall):
        intake.let_in(call.body)
        return
    try:
        async with asyncio.timeout_at(call.deadline):
            await intake.admit(call.body)
    except TimeoutError as error:
        raise RequestTimeout from error
