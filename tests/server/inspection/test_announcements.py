# SPDX-License-Identifier: MIT
import logging
from typing import Any

import pytest
from flask import Flask

from ashapp.bridge import FlaskToAsgi
from ashapp.server.assembly.application import Application
from ashapp.server.inspection.announcements import Announcements, Kind, announcements
from ashapp.server.settings.loading import load


@pytest.mark.parametrize(
    ("found", "flags", "line"),
    [
        (Flask("shop"), {}, "Serving shop on http://a, http://b with 1 worker of 40 threads"),
        (
            Flask("shop"),
            {"workers": "3", "threads": "2"},
            "Serving shop on http://a, http://b with 3 workers of 2 threads",
        ),
        (Flask("shop"), {"workers": "3", "reload": True}, "http://b with 1 worker of 40 threads"),
        (FlaskToAsgi(Flask("shop")), {}, "Serving shop on http://a, http://b with 1 worker"),
    ],
)
def test_the_last_line_says_what_is_served_where(found: object, flags: dict[str, Any], line: str) -> None:
    settings = load({"app": "shop", **flags})
    *before, last = announcements(settings, Application(found, ["no key"]), ["http://a", "http://b"])
    assert before == [(Kind.WARNING, "no key")]
    assert last[0] is Kind.SERVING
    assert last[1].endswith(line)


def test_each_line_is_logged_once_however_many_workers_tell_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ashapp.server")
    told = Announcements(["and metrics"])
    for warning in ("no key", "no key", "a weak key: 100 %"):
        told.tell(Kind.WARNING, warning)
        told.tell(Kind.NOTE, "a note")
        told.tell(Kind.SERVING, "Serving shop")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "no key"),
        ("INFO", "a note"),
        ("INFO", "Serving shop"),
        ("INFO", "and metrics"),
        ("WARNING", "a weak key: 100 %"),
    ]
