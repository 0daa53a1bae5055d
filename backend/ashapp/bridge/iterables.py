# SPDX-License-Identifier: MIT
"""Response bodies: asynchronous ones as WSGI iterables, and what may be iterated on the loop."""

from __future__ import annotations

from collections.abc import AsyncIterable
from types import FunctionType
from typing import TYPE_CHECKING, Any

import flask
from werkzeug.wrappers import Response

from ashapp.bridge.attributes import attribute_of
from ashapp.bridge.coroutines import complete
from ashapp.bridge.exchange import current_exchange

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["AsyncBody", "ContextBody", "adopt_body", "as_body", "runs_inline"]


class AsyncBody:
    """An async iterable as an iterator, for a WSGI response.

    Each item is awaited where the response is iterated: in a fiber this suspends the fiber, on a thread the
    thread waits for the loop.
    """

    def __init__(self, iterable: AsyncIterable[Any]) -> None:
        self._iterator = aiter(iterable)
        exchange = current_exchange()
        if exchange is not None:
            exchange.coroutine_loop()  # chosen now: when the items are awaited, the context may be gone

    def __iter__(self) -> AsyncBody:
        return self

    def __next__(self) -> Any:
        try:
            return complete(_item(self._iterator))
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Close the async generator, so that its ``finally`` runs now."""
        aclose = getattr(self._iterator, "aclose", None)
        if aclose is not None:
            complete(_close(aclose), shielded=True)


class ContextBody(AsyncBody):
    """An async iterable whose items are awaited in the request context, by ``flask.stream_with_context``."""

    def __init__(self, iterable: AsyncIterable[Any]) -> None:
        self._generator: Any = flask.stream_with_context(AsyncBody(iterable))

    def __next__(self) -> Any:
        return next(self._generator)

    def close(self) -> None:
        """Close the async generator, then leave the context."""
        self._generator.close()


def as_body(value: Any) -> Any:
    """Return *value*, or what to iterate in its place where it is an async iterable.

    ``flask.stream_with_context`` takes an async iterable for a function, and what it returns is a decorated
    function, with that iterable as ``__wrapped__``.
    """
    if isinstance(value, AsyncIterable):
        return AsyncBody(value)
    wrapped = vars(value).get("__wrapped__") if type(value) is FunctionType else None
    return ContextBody(wrapped) if isinstance(wrapped, AsyncIterable) else value


def adopt_body(response: Any) -> None:
    """Give *response* what to iterate in place of a body that is async, if it is one of Werkzeug's."""
    if isinstance(response, Response):
        body = attribute_of(response, "response")
        if type(body) is not list and (adopted := as_body(body)) is not body:
            response.response = adopted


async def _item(iterator: Any) -> Any:
    return await anext(iterator)


async def _close(aclose: Any) -> None:
    await aclose()


def runs_inline(iterable: Iterable[bytes], response: Any) -> tuple[bool, bool]:
    """Say whether *iterable*, the body of *response*, may be iterated on the loop, and closed there.

    It may be iterated where all items are there, or are awaited, and closed where that calls nothing of
    the application's. Without a *response* of Werkzeug's, nobody knows.
    """
    if isinstance(iterable, list | tuple):
        return True, True
    if not isinstance(response, Response):
        return False, False
    body = attribute_of(response, "response")
    return isinstance(body, list | tuple | AsyncBody), attribute_of(response, "_on_close") == []
