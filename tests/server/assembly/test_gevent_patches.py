# SPDX-License-Identifier: MIT
"""With stand-ins for gevent, zope.event and eventlet: these would replace parts of the test run for good."""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from ashapp.server.assembly import gevent_patches
from ashapp.server.errors import StartupError


class DoNotPatch(BaseException):
    pass


class GeventWillPatchAllEvent:
    def __init__(self, arguments: dict[str, bool]) -> None:
        self.patch_all_arguments = arguments


class Monkey:
    """Does with subscribers what ``gevent.monkey`` does, and notes what it would patch."""

    def __init__(self, subscribers: list[Callable[[Any], None]]) -> None:
        self.subscribers = subscribers
        self.saved: dict[str, Any] = {}
        self.patched: list[str] = []

    def patch_all(self, **arguments: bool) -> None:
        defaults = dict.fromkeys(["socket", "time", "thread", "os", "subprocess", "signal", "queue"], True)
        told = {**defaults, **arguments}
        assert self.saved.setdefault("_gevent_saved_patch_all_module_settings", told) == told
        try:
            for subscriber in self.subscribers:
                subscriber(object())
                subscriber(GeventWillPatchAllEvent(told))
        except DoNotPatch:
            return
        self.patched += [name for name, is_patched in told.items() if is_patched]

    def is_module_patched(self, name: str) -> bool:
        return name == "threading" and "thread" in self.patched


@pytest.fixture
def monkey(monkeypatch: pytest.MonkeyPatch) -> Monkey:
    made = Monkey([])
    monkeypatch.setattr(gevent_patches, "_limited", [])
    monkeypatch.setitem(sys.modules, "gevent.monkey", made)
    monkeypatch.setitem(sys.modules, "gevent.events", SimpleNamespace(DoNotPatch=DoNotPatch))
    monkeypatch.setitem(sys.modules, "zope.event", SimpleNamespace(subscribers=made.subscribers))
    return made


def test_threads_are_left_alone_and_the_rest_is_replaced(monkey: Monkey) -> None:
    gevent_patches.limit()
    gevent_patches.limit()
    assert len(monkey.subscribers) == 1
    assert not gevent_patches.are_limited()
    monkey.patch_all()
    assert monkey.patched == ["socket", "time"]
    assert gevent_patches.are_limited()
    gevent_patches.forbid_replaced_threads("shop")


def test_who_leaves_threads_alone_by_himself_is_left_alone(monkey: Monkey) -> None:
    gevent_patches.limit()
    monkey.patch_all(thread=False, time=False)
    assert monkey.patched == ["socket", "os", "subprocess", "signal", "queue"]
    assert not gevent_patches.are_limited()


def test_threads_that_were_replaced_before_are_refused(monkey: Monkey) -> None:
    monkey.patch_all()
    with pytest.raises(
        StartupError, match=r"shop would hang, .*: call gevent.monkey.patch_all\(thread=False\)"
    ):
        gevent_patches.forbid_replaced_threads("shop")


@pytest.mark.parametrize("is_patched", [True, False])
def test_eventlet_is_refused(monkeypatch: pytest.MonkeyPatch, *, is_patched: bool) -> None:
    monkeypatch.setitem(
        sys.modules, "eventlet.patcher", SimpleNamespace(is_monkey_patched=lambda name: is_patched)
    )
    if not is_patched:
        gevent_patches.forbid_replaced_threads("shop")
        return
    with pytest.raises(StartupError, match=r"call eventlet.monkey_patch\(thread=False\)"):
        gevent_patches.forbid_replaced_threads("shop")


def test_without_gevent_nothing_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zope.event", None)
    gevent_patches.limit()
    gevent_patches.forbid_replaced_threads("shop")
