# SPDX-License-Identifier: MIT
"""What a bridge refuses to be made with, as an option or in the config of its application."""

import re
from typing import Any

import flask
import pytest

from ashapp import FlaskToAsgi

POSITIVE, BOUND = "expected 1 or more", "expected 1 or more, or None for no bound"
PLACES = "expected 'loop' or 'thread'"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("threads", 0, POSITIVE),
        ("async_threads", 0, POSITIVE),
        ("websocket_threads", 0, POSITIVE),
        ("limit_websockets", 0, BOUND),
        ("limit_in_flight", 0, BOUND),
        ("limit_queue", 0, BOUND),
        ("limit_queue", -1, BOUND),
        ("read_ahead", -1, "expected a number of bytes, or 0 for none"),
        ("async_views", "threads", PLACES),
        ("ASHAPP_ASYNC_VIEWS", "", PLACES),
        ("ASHAPP_ASYNC_VIEWS", 1, PLACES),
        ("ASHAPP_STATIC_FILES", "nowhere", PLACES),
    ],
)
def test_a_value_without_a_meaning_is_refused_by_its_name(name: str, value: Any, told: str) -> None:
    app, options = flask.Flask("shop"), {name: value} if name.islower() else {}
    if name.isupper():
        app.config[name] = value
    known = "ASHAPP_ASYNC_VIEWS" if name == "async_views" else name
    with pytest.raises(ValueError, match=re.escape(f"{known} is {value!r}: {told}")):
        FlaskToAsgi(app, **options)
