# SPDX-License-Identifier: MIT
import functools
from collections.abc import AsyncIterator

from flask.sessions import SecureCookieSessionInterface
from flask.views import View

from ashapp.bridge.placement.nonblocking import is_nonblocking, is_on_thread, nonblocking, on_thread


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


def test_what_is_marked_is_kept_on_threads() -> None:
    class Marked(View):
        pass

    class Sessions:
        async def ping(self) -> None: ...

    assert on_thread(Marked) is Marked
    marked = (
        Marked,
        Marked.as_view("marked"),
        functools.partial(on_thread(stream)),
        on_thread(Sessions().ping),
    )
    assert [target for target in marked if not is_on_thread(target)] == []
    others = (View, View.as_view("other"), index, functools.partial(index), None)
    assert [target for target in others if is_on_thread(target)] == []


def test_the_mark_on_an_object_is_on_it_alone() -> None:
    assert is_nonblocking(nonblocking(SecureCookieSessionInterface()))
    assert not is_nonblocking(SecureCookieSessionInterface())
