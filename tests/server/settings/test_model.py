# SPDX-License-Identifier: MIT
import math
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest

from ashapp.server.cli.options import descriptions
from ashapp.server.protocols import ConnectionLimits
from ashapp.server.settings import lifecycle
from ashapp.server.settings.model import ServerSettings, Settings
from ashapp.server.settings.uvicorn_options import UVICORN_OPTIONS, kind_of

HUGE = "9" * 400
ODD: tuple[Any, ...] = (True, 1, math.inf, 10**400, HUGE, f"{HUGE}h", f"{HUGE}kib", "\0", [], [[]], {"a": {}})


def settings(**values: Any) -> Settings:
    return ServerSettings(**values)


def test_each_setting_of_our_own_is_described() -> None:
    own = set(Settings.fields) - set(UVICORN_OPTIONS)
    assert own - set(descriptions()) == set()


def test_each_option_of_uvicorn_is_a_setting_but_those_that_are_decided_here() -> None:
    assert set(UVICORN_OPTIONS) <= set(ServerSettings.fields)
    decided = {"app", "app_dir", "factory", "interface", "env_file", "timeout_worker_healthcheck"}
    assert not decided & set(UVICORN_OPTIONS)


def test_settings_do_not_change_and_do_not_show_a_secret() -> None:
    found = settings(secret_key="correct horse")
    with pytest.raises(AttributeError, match="port of ServerSettings can't be set"):
        found.port = 80
    with pytest.raises(ValueError, match="prot: there is no such name; workers: must be a whole number"):
        settings(prot=1, workers=0)
    assert "horse" not in f"{found.secret_key} {found.secret_key!r}"


@pytest.mark.parametrize("name", [*ServerSettings.fields, "self"])
def test_what_no_setting_can_be_is_refused_and_nothing_else_is_raised(name: str) -> None:
    for odd in ODD:
        with suppress(ValueError):
            ServerSettings(**{name: odd})


def test_uvicorn_gets_the_values_it_understands() -> None:
    config = settings(
        headers=["X-Frame-Options:  DENY", "X-Empty:"],
        ssl_keyfile_password="pass",
        reload_dirs="/, /",
        secret_key="not for uvicorn",
        threads=3,
    ).uvicorn_config()
    assert config["headers"] == [("X-Frame-Options", "DENY"), ("X-Empty", "")]
    assert config["ssl_keyfile_password"] == "pass"
    assert config["reload_dirs"] == ["/", "/"]
    assert not {"secret_key", "threads", "app"}.intersection(config)


@pytest.mark.parametrize(
    ("option", "value", "converted"),
    [
        (click.Option(["--n"], type=int), "5", 5),
        (click.Option(["--x"], type=float), "0.5", 0.5),
        (click.Option(["--on"], is_flag=True), "yes", True),
        (click.Option(["--many"], multiple=True), "a, b", ["a", "b"]),
        (click.Option(["--many"], multiple=True, type=int), ["1", 2], [1, 2]),
    ],
)
def test_a_value_of_uvicorns_is_converted_as_click_does(
    option: click.Option, value: Any, converted: Any
) -> None:
    assert kind_of(option).parse(value) == converted


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("root_path", "", ""),
        ("root_path", "/", ""),
        ("root_path", "/api/", "/api"),
        ("livez_path", "off", ""),
        ("livez_path", "", ""),
        ("livez_path", "/alive", "/alive"),
        ("http", "h11", "h11"),
        ("log_level", "INFO", "info"),
        ("http", "shop.protocol:Protocol", "shop.protocol:Protocol"),
        ("limit_body", "0", 0),
        ("limit_body", 1000, 1000),
        ("limit_body", "20MiB", 20 << 20),
        ("limit_body", "1.5 kB", 1500),
        ("limit_body", " 2gib", 2 << 30),
        ("umask", "027", 0o27),
        ("umask", 0o27, 0o27),
        ("management_port", "0", 0),
        ("management_port", 9100, 9100),
        ("management_port", "OFF", "off"),
        ("management_port", False, "off"),
        ("mount", "/a=shop:a, /b=shop:b()", {"/a": "shop:a", "/b": "shop:b()"}),
        ("mount", ["/a=x:y=1"], {"/a": "x:y=1"}),
        ("mount", {"/a": "x"}, {"/a": "x"}),
        ("forwarded_headers", "Forwarded, X-Forwarded-Prefix", ["forwarded", "x-forwarded-prefix"]),
        ("allowed_hosts", "Example.com,.b.org  localhost", ["example.com", ".b.org", "localhost"]),
        ("allowed_hosts", "[::1] * my_service 127.0.0.1", ["[::1]", "*", "my_service", "127.0.0.1"]),
        ("limit_max_memory", "512", 512),
    ],
)
def test_a_value_may_be_written_in_several_ways(name: str, given: Any, meant: Any) -> None:
    assert getattr(settings(**{name: given}), name) == meant


@pytest.mark.parametrize(
    "host", ["", "https://example.com", "example.com:443", "*.example.com", "::1", "a..b", "."]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"is not a host, without scheme and port, such as 'example.com'"):
        settings(allowed_hosts=[host])


@pytest.mark.parametrize(
    ("values", "supervisor", "count"),
    [
        ({}, False, 1),
        ({"supervisor": False}, False, 1),
        ({"supervisor": True}, True, 1),
        ({"workers": 2}, True, 2),
        ({"workers": 4, "reload": True}, True, 1),
        ({"limit_max_requests": 1000}, True, 1),
        ({"limit_max_memory": 512}, True, 1),
    ],
)
def test_there_is_a_supervisor_where_there_is_something_to_supervise(
    values: dict[str, Any], count: int, *, supervisor: bool
) -> None:
    assert (settings(**values).supervisor, settings(**values).worker_count) == (supervisor, count)


_NAMES = ("drain_delay", "timeout_graceful_shutdown", "end_seconds", "stall_timeout", "loop_guard")


@pytest.mark.parametrize(
    ("terminal", "values", "times"),
    [
        (False, {}, (5, 15, 21, 30, 0.5)),
        (False, {"supervisor": True}, (5, 15, 21, 4, 0.5)),
        (False, {"workers": 2}, (5, 15, 21, 4, 0.5)),
        (True, {}, (0, 1, 7, 0, 0.5)),
        (False, {"environment": "development"}, (0, 1, 7, 0, 0.1)),
        (False, {"reload": True}, (0, 1, 7, 0, 0.1)),
        (False, {"reload": True, "loop_guard": 0}, (0, 1, 7, 0, 0)),
        (
            True,
            {"drain_delay": 2, "timeout_graceful_shutdown": 9, "stall_timeout": 3, "loop_guard": "0.25"},
            (2, 9, 15, 3, 0.25),
        ),
    ],
)
def test_a_person_does_not_wait_for_a_drain_nor_loses_a_worker_to_the_debugger(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], times: tuple[float, ...], *, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    found = settings(**values)
    assert tuple(getattr(found, name) for name in _NAMES) == times


def test_the_time_for_an_end_must_fit_into_what_the_environment_grants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    told = (
        "termination_grace_period = 20 s is too short: drain_delay 5 + timeout_graceful_shutdown 15 + "
        "timeout_lifespan_shutdown 5 = 25 s; shorten these, or raise it, and the "
        "environment's own limit with it"
    )
    with pytest.raises(ValueError, match=re.escape(told)):
        settings(termination_grace_period=20)
    settings(termination_grace_period=25)
    settings(termination_grace_period=20, drain_delay=0)


def test_memory_is_limited_only_where_it_can_be_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lifecycle, "_STATM", tmp_path / "statm")
    with pytest.raises(ValueError, match="which this system does not have"):
        settings(limit_max_memory=100)
    settings()


def test_each_limit_of_a_connection_can_be_set() -> None:
    assert settings().connection_limits == ConnectionLimits()
    never = dict.fromkeys(["head_seconds", "body_seconds", "send_seconds"], math.inf)
    limits = settings(timeout_head=0, timeout_body=0, timeout_send=0).connection_limits
    assert limits == ConnectionLimits(**never)  # type: ignore[arg-type]
    given = (
        "limit_target=100 limit_fields=2 limit_head=300 timeout_head=4 timeout_body=5 min_body_rate=6 "
        "timeout_send=7 timeout_stream=8"
    )
    limits = settings(**dict(pair.split("=") for pair in given.split())).connection_limits
    assert limits == ConnectionLimits(100, 2, 300, 4, 5, 6, 7, 8)
