# SPDX-License-Identifier: MIT
"""The accelerators of an application, by the methods in whose place they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ashapp.bridge.flask.accelerators.contexts import Contexts
from ashapp.bridge.flask.accelerators.dispatching import Dispatching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import flask
    from flask.app import Flask

    from ashapp.bridge.concurrency.call import Call
    from ashapp.bridge.flask.accelerators.responses import Responses

__all__ = ["accelerated"]


def accelerated(
    app: Flask,
    replacements: Mapping[str, Callable[..., Any]],
    responses: Responses | None,
    note_match: Callable[[Call, flask.Request], None],
) -> Dispatching | None:
    """Return what dispatches the requests of *app* quicker than Flask, if that is possible.

    *replacements* are what is called in place of others. *responses* makes those for what views return, and
    *note_match* is told of each request that is matched, before anything that takes its time.
    """
    contexts = Contexts(app, replacements)
    if not contexts.are_known:
        return None
    return Dispatching(app, contexts, responses, note_match)
