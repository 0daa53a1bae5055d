# SPDX-License-Identifier: MIT
import functools
from collections.abc import AsyncIterator

from flask.sessions import SecureCookieSessionInterface

from ashapp.bridge.marks import is_nonblocking, nonblocking


def index() -> str:
    return "index"


async def stream() -> AsyncIterator[str]:
    yield "item"


def test_the_mark_makes_a_callable_nonblocking() -> None:
    quick = functools.partial(index)
    assert nonblocking(quick) is quick
    assert is_nonblocking(quick)
    assert not is_nonblocking(index)
    assert is_nonblocking(stream)


def test_the_mark_on_a_bound_method_is_on_its_function() -> None:
    class Service:
        def ping(self) -> None:
            pass

    nonblocking(Service().ping)
    assert is_nonblocking(Service().ping)


def test_the_mark_on_a_class_is_on_its_objects() -> None:
    @nonblocking
    class Sessions(SecureCookieSessionInterface):
        pass

    assert is_nonblocking(Sessions)
    assert is_nonblocking(Sessions())
    assert not is_nonblocking(SecureCookieSessionInterface)


def test_the_mark_on_an_object_is_on_it_alone() -> None:
    assert is_nonblocking(nonblocking(SecureCookieSessionInterface()))
    assert not is_nonblocking(SecureCookieSessionInterface())
