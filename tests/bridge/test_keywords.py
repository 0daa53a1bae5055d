# SPDX-License-Identifier: MIT
import warnings
from typing import Any

import flask
import pytest
from werkzeug.exceptions import NotFound

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi


def bridge_of(kind: str, **options: Any) -> WsgiToAsgi:
    return (
        FlaskToAsgi(flask.Flask("app"), **options) if kind == "flask" else WsgiToAsgi(NotFound(), **options)
    )


@pytest.mark.parametrize("kind", ["wsgi", "flask"])
def test_an_old_keyword_works_and_warns_where_it_is_used(kind: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bridge = bridge_of(kind, max_in_flight=1, max_queued=2, max_body=3, max_buffered=4)
    limits = (bridge.admission.limit_in_flight, bridge.admission.limit_queue, bridge.limit_body)
    assert (*limits, bridge.intake.budget.limit) == (1, 2, 3, 4)
    assert {warning.category for warning in caught} == {DeprecationWarning}
    assert {warning.filename for warning in caught} == {__file__}
    assert "max_queued is called limit_queue now" in {str(warning.message) for warning in caught}


def test_both_names_of_a_keyword_at_once_are_refused() -> None:
    with pytest.raises(TypeError, match="max_body is the old name of limit_body: give limit_body alone"):
        bridge_of("wsgi", max_body=1, limit_body=1)
