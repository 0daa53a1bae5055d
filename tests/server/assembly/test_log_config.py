# SPDX-License-Identifier: MIT
"""The settings of the log, and a service that logs by them."""

import json
import logging
import re
import sys
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from ashapp.server.assembly.log_config import access_logs, keep_loggers, logging_options
from ashapp.server.settings.loading import load
from tests.support.client import HANDSHAKE
from tests.support.process import serving

SHOP = """
    import logging
    from flask import Flask

    app = Flask(__name__)
    app.secret_key = "9f2c6d0b1e7a4538"

    @app.get("/sync/<int:number>")
    def sync_view(number):
        app.logger.info("sync %d", number)
        return "sync"

    @app.get("/async/<int:number>")
    async def async_view(number):
        logging.getLogger("shop.own").info("async %d", number)
        return "async"

    def plain(environ, start_response):
        raise LookupError("out of stock")
    """

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"mine": {"format": "MINE %(name)s %(message)s"}},
    "handlers": {"mine": {"class": "logging.StreamHandler", "formatter": "mine"}},
    "root": {"handlers": ["mine"], "level": "INFO"},
}


def options(**flags: Any) -> dict[str, Any]:
    return logging_options(load(flags))


def form(config: dict[str, Any]) -> tuple[str, bool]:
    formatter = config["log_config"]["formatters"]["default"]
    return formatter["form"], formatter["colors"]


@pytest.mark.parametrize(
    ("flags", "at_terminal", "expected"),
    [
        ({}, False, ("json", False)),
        ({}, True, ("console", True)),
        ({"log_format": "json"}, True, ("json", True)),
        ({"log_format": "console"}, False, ("console", False)),
        ({"use_colors": False}, True, ("console", False)),
        ({"log_format": "console", "use_colors": True}, False, ("console", True)),
    ],
)
def test_the_format_is_by_setting_or_by_where_it_goes(
    monkeypatch: pytest.MonkeyPatch,
    flags: dict[str, Any],
    at_terminal: bool,  # noqa: FBT001 - a parameter
    expected: tuple[str, bool],
) -> None:
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: at_terminal))
    assert form(options(**flags)) == expected


@pytest.mark.parametrize(
    ("flags", "count"),
    [
        ({}, 1),
        ({"log_format": "console"}, 1),
        ({"log_level": "debug"}, 1),
        ({"log_level": "warning"}, 0),
        ({"access_log": False}, 0),
        ({"access_log_format": "path,status"}, 1),
    ],
)
def test_requests_are_logged_unless_that_is_off(flags: dict[str, Any], count: int) -> None:
    assert len(access_logs(load(flags))) == count


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(dedent(SHOP))
    return tmp_path


def get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, trust_env=False, timeout=20)


def test_the_access_log_has_the_form_that_is_asked_for(folder: Path) -> None:
    form = '%(m)s %(U)s %(s)s "%(a)s" %({x-request-id}i)s'
    with serving(["shop", "--access-log-format", form], cwd=folder) as server:
        get(f"{server.base_url}/sync/7", **{"User-Agent": 'a" 500 "', "X-Request-ID": "r-1"})
        assert server.stop() == 0
        assert 'GET /sync/7 200 "a\\" 500 \\"" r-1' in server.stderr.splitlines()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_all_that_a_service_tells_is_json(folder: Path, workers: str) -> None:
    with serving(["shop", "--workers", workers], cwd=folder) as server:
        for kind in ("sync", "async"):
            response = get(f"{server.base_url}/{kind}/7?token=secret", **{"X-Request-ID": f"{kind}-1"})
            assert response.headers["X-Request-ID"] == f"{kind}-1"
        get(f"{server.base_url}/livez")
        assert server.stop() == 0
        told = server.stderr
        assert server.stdout == ""
    lines = [json.loads(line) for line in told.splitlines()]
    assert "secret" not in told
    # Two workers write in any order.
    requests = sorted(
        (line for line in lines if line["event"] == "request"), key=lambda line: line["path"], reverse=True
    )
    assert [(line["method"], line["path"], line["route"], line["status"]) for line in requests] == [
        ("GET", "/sync/7", "/sync/<int:number>", 200),
        ("GET", "/async/7", "/async/<int:number>", 200),
    ]
    assert [line["place"] for line in requests] == ["thread", "loop"]
    for request, logger, event in zip(requests, ("shop", "shop.own"), ("sync 7", "async 7"), strict=True):
        (own,) = [line for line in lines if line["event"] == event]
        names = ("request_id", "trace_id", "span_id")
        assert [own[name] for name in names] == [request[name] for name in names]
        assert own["logger"] == logger
    assert {"ashapp.server", "uvicorn.error"} <= {line["logger"] for line in lines}


def test_lines_for_a_reader(folder: Path) -> None:
    args = ["shop", "--log-format", "console", "--access-log-query"]
    with serving(args, cwd=folder) as server:
        get(f"{server.base_url}/sync/7?token=asked-for")
        assert server.stop() == 0
        told = server.stderr
    assert "GET /sync/7?token=asked-for 200" in told
    assert "sync 7" in told


@pytest.mark.parametrize(
    ("flags", "lines"),
    [
        (["--log-level", "trace"], 0),
        (["--no-access-log"], 0),
        (["--log-config", "log.json"], 1),
        (["--log-config", "log.json", "--no-access-log"], 0),
    ],
)
def test_what_uvicorn_logs_of_requests_has_no_query_string(
    folder: Path, flags: list[str], lines: int
) -> None:
    (folder / "log.json").write_text(json.dumps(LOGGING))
    asked = {**dict(HANDSHAKE), "Cookie": "session=secret"}
    with serving(["shop", *flags], cwd=folder) as server:
        assert get(f"{server.base_url}/sync/7?token=secret").status_code == 200
        assert get(f"{server.base_url}/socket?token=secret", **asked).status_code == 404
        assert server.stop() == 0
        told = server.stderr
    assert "secret" not in told
    if "--log-config" in flags:  # then all is logged by the user's own
        assert "MINE shop sync 7" in told.splitlines()
        assert not [line for line in told.splitlines() if line.startswith("{")]
    assert len(re.findall(r"WebSocket /socket\W+ 404", told)) == lines
    has_log = "--no-access-log" not in flags
    assert ("/sync/7" in told, "/socket" in told) == (has_log, has_log)
    own = flags == ["--log-config", "log.json"]
    assert bool(re.search(r'uvicorn\.access.*"GET /sync/7 HTTP/1\.1" 200', told)) is own


def test_an_application_that_configures_logging_does_not_silence_the_service_nor_its_errors(
    folder: Path,
) -> None:
    # As in Flask's documentation.
    source = """
        from logging.config import dictConfig

        dictConfig({
            "version": 1,
            "formatters": {"default": {"format": "THEIRS %(message)s"}},
            "handlers": {"wsgi": {
                "class": "logging.StreamHandler",
                "stream": "ext://flask.logging.wsgi_errors_stream",
                "formatter": "default",
            }},
            "root": {"level": "INFO", "handlers": ["wsgi"]},
        })
        """
    (folder / "shop.py").write_text(dedent(source) + dedent(SHOP))
    with serving(["shop:plain"], cwd=folder) as server:
        assert get(f"{server.base_url}/", **{"X-Request-ID": "r1"}).status_code == 500
        assert server.stop() == 0
        lines = [json.loads(line) for line in server.stderr.splitlines() if not line.startswith("THEIRS")]
    request, failed = [line for line in lines if line.get("request_id") == "r1"]
    assert (request["event"], request["status"], request["error"]) == ("request", 500, "LookupError")
    assert failed["event"] == "Exception in ASGI application\n"
    assert failed["exception"][0]["exc_value"] == "out of stock"
    with serving(["shop"], cwd=folder) as server:
        get(f"{server.base_url}/sync/7")
        assert server.stop() == 0
        assert "THEIRS sync 7" in server.stderr.splitlines()


def test_only_the_loggers_of_the_service_are_kept() -> None:
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "ashapp.server", "uvicornish", "shop")]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        keep_loggers()
        assert [logger.disabled for logger in loggers] == [False, False, True, True]
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
