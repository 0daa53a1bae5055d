# SPDX-License-Identifier: MIT
"""Reads of a whole body through Werkzeug's request object, one after the other.

Werkzeug looks for what has been read already, reads, and keeps the result. In between, a greenlet may be
suspended because the body is late. Another task of the view that reads then would get the other half of the
body, and keep that. So it waits for its turn, and finds the result of the first.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request

from ashapp.bridge.request.input_stream import InputStream

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["adopt_request_reads"]

# What ``json``, ``data``, ``form``, ``files`` and ``values`` come down to.
_READS = ("get_data", "_load_form_data")


def adopt_request_reads() -> None:
    """Make requests read by turns. Once is enough; more does nothing."""
    for name in _READS:
        method = vars(Request)[name]
        if not hasattr(method, "_ashapp_by_turns"):
            setattr(Request, name, _by_turns(method))


def _by_turns(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def read(self: Request, *args: Any, **kwargs: Any) -> Any:
        stream = self.environ.get("wsgi.input")
        if type(stream) is not InputStream or stream.lock is None:
            return method(self, *args, **kwargs)
        with stream.lock:
            if stream.is_torn:
                raise RuntimeError(
                    "the request body can't be read: an earlier read of it was cancelled half-way, and "
                    "what that had read is lost"
                )
            before = stream.body.taken
            try:
                return method(self, *args, **kwargs)
            except BaseException as error:
                stream.is_torn |= stream.body.taken != before and not isinstance(error, Exception)
                raise

    read._ashapp_by_turns = True  # type: ignore[attr-defined]  # noqa: SLF001 - ours
    return read
