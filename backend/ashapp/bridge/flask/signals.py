# SPDX-License-Identifier: MIT
"""Signals, sent where a greenlet runs the dispatch.

Blinker calls a sync receiver directly. On the loop that could block it, so there such receivers pass through
``ensure_sync`` like all other functions of the application.

The sender of any signal wants the results of its receivers, also in a coroutine (see ``callers``).

``request_finished`` also tells which response Flask iterates, after all hooks.
"""

from collections.abc import Callable
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any

from blinker import Signal
from flask import signals

from ashapp.bridge.concurrency.greenlets.current import current_call, current_greenlet
from ashapp.bridge.flask.bodies import adopt_body
from ashapp.bridge.flask.callers import as_flask
from ashapp.bridge.loop_or_thread.marks import is_nonblocking
from ashapp.bridge.messages.attributes import attribute_of

__all__ = ["SIGNALS", "send", "send_any"]

_FINISHED = signals.request_finished
SIGNALS = (
    *(signals.request_started, signals.request_finished, signals.request_tearing_down),
    *(signals.got_request_exception, signals.message_flashed),
    *(signals.appcontext_pushed, signals.appcontext_popped, signals.appcontext_tearing_down),
    *(signals.template_rendered, signals.before_render_template),
)


def send(signal: Signal, sender: Any = None, /, **kwargs: Any) -> list[tuple[Any, Any]]:
    """Send *signal*; see ``blinker.Signal.send``."""
    if signal is _FINISHED and (call := current_call()) is not None:
        # A hook may have given it a body that is async. This is the last call before it is iterated.
        adopt_body(kwargs.get("response"))
        call.note_response(kwargs.get("response"))
    if not signal.receivers:
        return []
    if current_greenlet() is None:
        return type(signal).send(signal, sender, **kwargs)
    if signal.is_muted:
        return []
    # An application may send one itself, without a wrapper, and with another sender than an application.
    wrap = kwargs.pop("_async_wrapper", None) or attribute_of(sender, "ensure_sync", _on_request_thread)
    return [
        (receiver, as_flask(wrap(receiver))(sender, **kwargs)) for receiver in signal.receivers_for(sender)
    ]


_send = Signal.send


@wraps(_send)
def send_any(signal: Signal, /, *args: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
    """Send *signal*, which may be one of the application's own."""
    return as_flask(_send)(signal, *args, **kwargs)


def _on_request_thread(receiver: Callable[..., Any]) -> Callable[..., Any]:
    if iscoroutinefunction(receiver):
        raise RuntimeError("Cannot send to a coroutine function.")  # blinker's words
    greenlet = current_greenlet()
    if is_nonblocking(receiver) or greenlet is None:
        return receiver
    return partial(greenlet.driver.run_on_request_thread, receiver)
