# SPDX-License-Identifier: MIT
"""Bodies in Flask and Werkzeug: whole reads of a request's body, and async bodies of responses.

Whole reads through Werkzeug's request object are done one after the other. Werkzeug looks for an earlier
result, reads, and keeps the result. In between, a greenlet may be suspended because the body is late. If
another task of the view read then, it would get the other half of the body, and keep that. So it waits for
its turn, and finds the result of the first.

Werkzeug writes the large files of a form to a disk. If that is full, the client gets 507.
"""

import errno
import logging
from collections.abc import AsyncIterable, Callable
from functools import wraps
from typing import Any

import flask
from werkzeug.wrappers import Request, Response

from ashapp.bridge.messages.attributes import attribute_of
from ashapp.bridge.messages.errors import StorageFull
from ashapp.bridge.request.async_bodies import AsyncBody, within_context
from ashapp.bridge.request.uploads.input_stream import InputStream

__all__ = ["ContextBody", "adopt_body", "adopt_request_reads", "as_body"]

_log = logging.getLogger("ashapp.bridge")

# No space, no quota, no larger file, no descriptor.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE}

# The methods behind ``json``, ``data``, ``form``, ``files`` and ``values``.
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
        if type(stream) is not InputStream or not stream.announced:
            return method(self, *args, **kwargs)
        try:
            with stream.turn():
                return method(self, *args, **kwargs)
        except StorageFull:  # of a read within this one
            raise
        except OSError as error:
            if error.errno in _NO_ROOM:
                _log.error("A form can't be kept where temporary files go (TMPDIR): %s", error)
                raise StorageFull(error) from error
            raise

    read._ashapp_by_turns = True  # type: ignore[attr-defined]  # noqa: SLF001 - ours
    return read


class ContextBody(AsyncBody):
    """An async iterable whose items are awaited in the request context, by ``flask.stream_with_context``."""

    def __init__(self, iterable: AsyncIterable[Any]) -> None:
        self._body = AsyncBody(iterable)
        self._generator: Any = flask.stream_with_context(self._body)

    def __next__(self) -> Any:
        return next(self._generator)

    def close(self) -> None:
        """Close the async generator, then leave the context."""
        try:
            self._body.close()
        finally:
            self._generator.close()


def as_body(value: Any) -> Any:
    """Return *value*; or, if it is an async iterable, an iterable in its place."""
    if isinstance(value, AsyncIterable):
        return AsyncBody(value)
    wrapped = within_context(value)
    return value if wrapped is None else ContextBody(wrapped)


def adopt_body(response: Any) -> None:
    """Replace an async body of *response* by one that WSGI can iterate, if the response is Werkzeug's."""
    if isinstance(response, Response):
        body = attribute_of(response, "response")
        if type(body) is not list and (adopted := as_body(body)) is not body:
            response.response = adopted
