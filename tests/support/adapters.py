# SPDX-License-Identifier: MIT
"""Tests that run through our adapter and through the one of asgiref that it replaces."""

from collections.abc import Callable
from typing import Any

import asgiref.wsgi
import pytest

from ashapp.bridge import WsgiToAsgi
from tests.support.client import TruncatedResponse
from tests.support.server import EACH_ONCE, ServerDidNotStart

__all__ = ["Adapter", "stock_fails", "stock_passes"]

#: From a WSGI application to an ASGI application.
Adapter = Callable[[Any], Any]

# What a client can see go wrong. An error in the test itself does not count for a failure of stock asgiref.
_SEEN_BY_CLIENTS = (AssertionError, ConnectionError, ServerDidNotStart, TimeoutError, TruncatedResponse)


def stock_fails(reason: str, ours: Adapter = WsgiToAsgi, *, everywhere: bool = False) -> pytest.MarkDecorator:
    """Run the test with *ours* as ``adapter``, and with stock asgiref, which must fail for *reason*.

    *everywhere*: ours with each parser and each loop, through the ``serve`` fixture.
    """
    mark = pytest.mark.xfail(strict=True, raises=_SEEN_BY_CLIENTS, reason=f"stock asgiref: {reason}")
    return _parametrize(ours, everywhere, mark)


def stock_passes(ours: Adapter = WsgiToAsgi, *, everywhere: bool = False) -> pytest.MarkDecorator:
    """Run the test as ``stock_fails`` does, but stock asgiref passes as well."""
    return _parametrize(ours, everywhere)


def _parametrize(ours: Adapter, everywhere: bool, *marks: pytest.MarkDecorator) -> pytest.MarkDecorator:  # noqa: FBT001
    stock = asgiref.wsgi.WsgiToAsgi
    if not everywhere:
        values = [pytest.param(ours, id="ours"), pytest.param(stock, id="stock", marks=marks)]
        return pytest.mark.parametrize("adapter", values)
    pairs = [pytest.param(found, ours, id="-".join(("ours", *found))) for found in EACH_ONCE]
    pairs.append(pytest.param(EACH_ONCE[0], stock, id="stock", marks=marks))
    return pytest.mark.parametrize(("serve", "adapter"), pairs, indirect=["serve"])
