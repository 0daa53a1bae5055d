# SPDX-License-Identifier: MIT
import sys
from pathlib import Path
from typing import Any

import pytest

from ashapp.server.errors import StartupError
from ashapp.server.settings import ServerSettings, Settings, lifecycle
from ashapp.server.settings.loading import load


def settings(**values: Any) -> Settings:
    return ServerSettings(**values)


def refusal(**flags: Any) -> str:
    with pytest.raises(StartupError) as caught:
        load(flags)
    return caught.value.message


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: request.param, raising=False)


@pytest.mark.parametrize("terminal", [False], indirect=True)
@pytest.mark.usefixtures("terminal")
def test_a_service_that_nobody_watches_drains_and_is_watched_for_stalls() -> None:
    assert settings().drain_seconds == 5
    assert settings().stall_seconds == 30
    assert settings(supervisor=True).stall_seconds == settings(workers=2).stall_seconds == 4
    assert settings().graceful_seconds == 15
    assert settings().end_seconds == 21


@pytest.mark.parametrize(
    ("terminal", "values"),
    [(False, {"environment": "development"}), (False, {"reload": True}), (True, {})],
    indirect=["terminal"],
)
@pytest.mark.usefixtures("terminal")
def test_a_person_does_not_wait_for_a_drain_nor_loses_a_worker_to_the_debugger(
    values: dict[str, Any],
) -> None:
    assert settings(**values).drain_seconds == 0
    assert settings(**values).stall_seconds == 0
    assert settings(**values).graceful_seconds == 1
    assert settings(**values).end_seconds == 7
    assert settings(**values, timeout_graceful_shutdown=9).graceful_seconds == 9
    assert settings(**values, drain_delay=2).drain_seconds == 2
    assert settings(**values, stall_timeout=3).stall_seconds == 3


@pytest.mark.parametrize(
    ("values", "is_supervised"),
    [
        ({}, False),
        ({"supervisor": True}, True),
        ({"workers": 2}, True),
        ({"limit_max_requests": 1000}, True),
        ({"limit_max_memory": 512}, True),
    ],
)
def test_there_is_a_supervisor_where_there_is_something_to_supervise(
    values: dict[str, Any], *, is_supervised: bool
) -> None:
    assert settings(**values).is_supervised is is_supervised


def test_a_supervisor_that_is_needed_is_not_renounced() -> None:
    assert refusal(supervisor=False, workers="2").endswith("need the supervisor")
    assert not settings(supervisor=False).is_supervised


def test_the_time_for_an_end_must_fit_into_what_the_environment_grants() -> None:
    assert refusal(termination_grace_period="20") == (
        "termination_grace_period = 20 s is too short: drain_delay 5 + timeout_graceful_shutdown 15 + "
        "timeout_lifespan_shutdown 5 = 25 s; shorten these, or raise it, and the "
        "environment's own limit with it"
    )
    settings(termination_grace_period=25)
    settings(termination_grace_period=20, drain_delay=0)


def test_memory_is_limited_only_where_it_can_be_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lifecycle, "_STATM", tmp_path / "statm")
    assert refusal(limit_max_memory="100").endswith("which this system does not have")
    settings()
