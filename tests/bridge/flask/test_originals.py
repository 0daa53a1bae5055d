# SPDX-License-Identifier: MIT
import functools
from typing import Any

import flask
import pytest

from ashapp.bridge.placement.hindrances import is_original

INNER: Any = flask.Flask.dispatch_request


def replaced(self: flask.Flask, *args: Any) -> Any:
    return INNER(self, *args)


def wrapper(inner: Any) -> Any:
    @functools.wraps(inner)
    def call(*args: Any) -> Any:
        return inner(*args)

    return call


class Own(flask.Flask):
    dispatch_request = replaced


@pytest.mark.parametrize(
    "replacement",
    [replaced, wrapper(INNER), functools.partialmethod(INNER)],
    ids=["function", "wrapper", "partial method"],
)
def test_a_method_that_was_replaced_is_not_the_original(
    replacement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_original(flask.Flask, "dispatch_request", "flask.app")
    assert not is_original(Own, "dispatch_request", "flask.app")
    assert not is_original(flask.Flask, "no_such_method", "flask.app")
    monkeypatch.setattr(flask.Flask, "dispatch_request", replacement)
    assert not is_original(flask.Flask, "dispatch_request", "flask.app")
