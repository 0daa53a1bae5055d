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

__all__ = ["Bridge", "serve", "serve_early"]


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

    def note_route(self, call: WsgiCall | None) -> None:
        """Note the route of a request that is given up; see ``WsgiToAsgi``."""
        ...


def serve_early(bridge: Bridge, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    """Prepare a request, which has been counted, and return what serves it.

    For an async view that is the call itself: each coroutine in between would take memory while that waits.
    """
    try:
        call = bridge.prepare(scope, receive)
    except Exception:
        return serve(bridge, scope, receive, send)  # which meets the same, and answers
    if call.body.announced or isinstance(call, ThreadCall):
        return serve(bridge, scope, receive, send, call)
    call.when_ended(partial(_leave, bridge, call))
    return call.respond(send)


def _leave(bridge: Bridge, call: WsgiCall) -> None:
    if not call.is_complete:
        bridge.note_route(call)
    bridge.admission.leave()


async def serve(
    bridge: Bridge, scope: Scope, receive: Receive, send: Send, prepared: WsgiCall | None = None
) -> None:
    """Serve a request, which has been counted; *prepared* is its call, if it has one."""
    call = None
    try:
        prepared = prepared or bridge.prepare(scope, receive)
        if prepared.body.announced:
            await _take_in(bridge.intake, prepared)
        prepared.submit()
        call = prepared
        await call.respond(send)
    except RequestRejected as rejection:
        await send_problem(send, rejection.status, rejection.detail, rejection.headers)
    except RequestTimeout:
        bridge.note_route(prepared)
        await send_timeout(send, bridge.service.request_timeout)
    except asyncio.CancelledError:
        bridge.note_route(prepared)
        raise
    except ClientDisconnected:
        pass  # before it could begin: there is nobody to answer
    finally:
        if call is not None:  # what the server has given up may still run on its thread
            call.when_ended(bridge.admission.leave)
        else:
            if prepared is not None:
                prepared.body.stop()
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
