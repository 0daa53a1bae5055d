# SPDX-License-Identifier: MIT
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ashapp.server.errors import StartupError
from ashapp.server.settings.loading import flag, load, misspelt_variables


def set_variables(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def refusal(flags: Mapping[str, Any]) -> str:
    with pytest.raises(StartupError) as caught:
        load(flags)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("flags", "variables", "file", "port"),
    [
        ({}, {}, "", 5000),
        ({}, {}, "port = 7", 7),
        ({}, {"PORT": "6"}, "port = 7", 6),
        ({}, {"ASHAPP_PORT": "5", "PORT": "6"}, "port = 7", 5),
        ({"port": "4"}, {"ASHAPP_PORT": "5", "PORT": "6"}, "port = 7", 4),
        ({}, {"ASHAPP_PORT": "", "PORT": ""}, "port = 7", 7),
        ({}, {"ASHAPP_PORT": "tcp://10.0.0.7:5000", "PORT": "6"}, "", 6),
        ({}, {"ASHAPP_PORT": "tcp://10.0.0.7:5000"}, "", 5000),
        ({}, {"ashapp_port": "5"}, "", 5),
    ],
)
def test_the_first_source_that_names_a_setting_wins(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: dict[str, str],
    variables: dict[str, str],
    file: str,
    port: int,
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(file)
    set_variables(monkeypatch, variables)
    assert load({**flags, "config": str(path)}).port == port


def test_a_setting_that_only_uvicorn_knows_has_the_same_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("reset_contextvars = true\nssl_ciphers = 'a'\nws_per_message_deflate = true")
    set_variables(monkeypatch, {"ASHAPP_CONFIG": str(path), "ASHAPP_WS_PER_MESSAGE_DEFLATE": "off"})
    config = load({"ssl_ciphers": "b"}).uvicorn_config()
    assert (config["reset_contextvars"], config["ssl_ciphers"]) == (True, "b")
    assert config["ws_per_message_deflate"] is False


def test_customary_variables_of_other_servers_are_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    customary = {"WEB_CONCURRENCY": "3", "FORWARDED_ALLOW_IPS": "10.0.0.0/8", "FLASK_APP": "shop"}
    set_variables(monkeypatch, customary)
    settings = load({})
    assert (settings.workers, settings.forwarded_allow_ips, settings.app) == (3, "10.0.0.0/8", "shop")


def test_a_value_may_come_from_a_mounted_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text(" correct horse \r\n")
    threads = tmp_path / "threads"
    threads.write_text("8\n")
    set_variables(monkeypatch, {"ASHAPP_SECRET_KEY_FILE": str(secret), "ASHAPP_THREADS_FILE": str(threads)})
    settings = load({})
    assert settings.secret_key is not None
    assert settings.secret_key.get_secret_value() == " correct horse "
    assert settings.threads == 8
    assert "horse" not in repr(settings)


@pytest.mark.parametrize(
    "given", [{"limit_concurrency": "60"}, {"limit_concurrency": "60", "limit_in_flight": 60}]
)
def test_uvicorns_name_of_a_setting_works_too(given: dict[str, Any]) -> None:
    assert load(given).limit_in_flight == 60
    assert "limit_concurrency" not in load(given).uvicorn_config()


def test_settings_reach_a_spawned_process() -> None:
    settings = load({"port": "80", "reload_includes": ["*.html"]})
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize(
    ("flags", "variables", "message"),
    [
        ({"port": "abc"}, {}, "port = 'abc' (--port): must be a whole number from 0 to 65535"),
        ({"port": "65536"}, {}, "port = '65536' (--port): must be a whole number from 0 to 65535"),
        (
            {},
            {"ASHAPP_WORKERS": "0"},
            "workers = '0' (ASHAPP_WORKERS): must be a whole number from 1 to 1024",
        ),
        (
            {},
            {"WEB_CONCURRENCY": "x"},
            "workers = 'x' (WEB_CONCURRENCY): must be a whole number from 1 to 1024",
        ),
        (
            {"limit_concurrency": "5", "limit_in_flight": "6"},
            {},
            "limit_concurrency is another name of limit_in",
        ),
        (
            {"limit_concurrency": "0.5"},
            {},
            "limit_concurrency = '0.5' (--limit-concurrency): must be a whole number of at least 1",
        ),
        (
            {"limit_body": "12XB"},
            {},
            "limit_body = '12XB' (--limit-body): must be a number of bytes of at least 0, such as 20MiB",
        ),
        (
            {"limit_target": "1000", "limit_head": "999"},
            {},
            "limit_target = 1000 is more than limit_head = 999",
        ),
        ({"limit_queue": "0"}, {}, "limit_queue = '0' (--limit-queue): must be a whole number of at least 1"),
        ({"limit_buffered": "0"}, {}, "must be a number of bytes of at least 1, such as 20MiB"),
        (
            {"read_ahead": "-1"},
            {},
            "read_ahead = '-1' (--read-ahead): must be a number of bytes of at least 0",
        ),
        (
            {"timeout_head": "inf"},
            {},
            "timeout_head = 'inf' (--timeout-head): must be a number of at least 0",
        ),
        ({"readiness_interval": "3601"}, {}, "readiness_interval = '3601' (--readiness-interval): must be"),
        ({"readiness_interval": "nan"}, {}, "readiness_interval = 'nan' (--readiness-interval): must be"),
        ({"prestart": "sh '"}, {}, "must be a command as a shell reads it (No closing quotation)"),
        ({"log_format": "xml"}, {}, "log_format = 'xml' (--log-format): must be 'auto', 'json' or 'console'"),
        (
            {"log_config": "nowhere"},
            {},
            "log_config = 'nowhere' (--log-config): Path does not point to a file",
        ),
        ({"forwarded_allow_ips": "10.0.0.1, proxy"}, {}, "'proxy' is not an address, a network"),
        ({"forwarded_headers": "x-real-ip"}, {}, "'x-real-ip' is not one of x-forwarded-for, "),
        ({"allowed_hosts": "example.com, https://a"}, {}, "'https://a' is not a host"),
        ({"workers": "2", "supervisor": False}, {}, "need the supervisor"),
        ({"reload": "maybe"}, {}, "reload = 'maybe' (--reload): must be true or false"),
        ({"reload_delay": "0"}, {}, "reload_delay = '0' (--reload-delay): must be a number above 0"),
        (
            {"environment": "prod"},
            {},
            "environment = 'prod' (--environment): must be 'production' or 'development'",
        ),
        (
            {},
            {"ASHAPP_ACCESS_LOG": "maybe"},
            "access_log = 'maybe' (ASHAPP_ACCESS_LOG): must be true or false",
        ),
        ({"ssl_version": "x"}, {}, "ssl_version = 'x' (--ssl-version): 'x' is not a valid integer."),
        ({"headers": ["X-Ok: 1", "bad"]}, {}, "'bad' is not a header of the form 'Name: value'"),
        ({}, {"ASHAPP_HEADERS": "X-Ok: 1\nBad Name: 2"}, "(ASHAPP_HEADERS): 'Bad Name: 2' is not a header"),
        ({"root_path": "api"}, {}, "root_path = 'api' (--root-path): must begin with a slash"),
        (
            {"livez_path": "live"},
            {},
            "livez_path = 'live' (--livez-path): must begin with a slash, or be \"off\"",
        ),
        ({"livez_path": "/readyz"}, {}, "livez_path, readyz_path and healthz_path must differ"),
        ({"uds": "/run/x", "fd": "3"}, {}, "uds and fd exclude each other"),
        (
            {"limit_blocking": "-1"},
            {},
            "limit_blocking = '-1' (--limit-blocking): must be a number of at least 0",
        ),
        ({"loop_guard": "nan"}, {}, "loop_guard = 'nan' (--loop-guard): must be a number of at least 0"),
        ({"http": "h3"}, {}, "http = 'h3' (--http): must be one of auto, h11, httptools"),
        ({"log_level": "x" * 500}, {}, f"log_level = '{'x' * 99}... (--log-level): must be 'critical'"),
        ({"app": ""}, {}, "app = '' (TARGET): "),
        ({"port": "x", "workers": "y"}, {}, "to 65535; workers = 'y' (--workers): must be a whole number"),
        (
            {"config": "/nowhere.toml"},
            {},
            "config = '/nowhere.toml' (--config): the file can't be read (No such file or directory)",
        ),
        (
            {},
            {"ASHAPP_SECRET_KEY_FILE": "/nowhere"},
            "ASHAPP_SECRET_KEY_FILE = '/nowhere': the file can't be read (No such file or directory)",
        ),
        (
            {},
            {"ASHAPP_SECRET_KEY": "one", "ASHAPP_SECRET_KEY_FILE": "/run/secrets/key"},
            "ASHAPP_SECRET_KEY and ASHAPP_SECRET_KEY_FILE are both set: set one of them",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_source_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any], variables: dict[str, str], message: str
) -> None:
    set_variables(monkeypatch, variables)
    assert message in refusal(flags)


@pytest.mark.parametrize("wrong", ["65536", "-1", "http", "tcp://10.0.0.7:5001", ""])
def test_the_management_port_is_a_number_or_off(wrong: str) -> None:
    told = (
        f'management_port = {wrong!r} (--management-port): must be a whole number from 0 to 65535, or "off"'
    )
    assert refusal({"management_port": wrong}) == told


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({"host": "0.0.0.0", "management_host": "0.0.0.0"}, False),
        ({"host": "127.0.0.1", "management_host": "::"}, False),
        ({"host": "127.0.0.1", "management_host": "127.0.0.2"}, True),
        ({"uds": "a.sock"}, True),
        ({"port": 0, "management_port": 0}, True),
    ],
)
def test_the_management_port_is_not_the_services(given: dict[str, Any], *, fits: bool) -> None:
    flags = {"port": 5001, "management_port": 5001, **given}
    if fits:
        load(flags)
    else:
        assert "port and management_port are both 5001: choose another" in refusal(flags)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("workerz = 2", "'workerz' in the config file is not a setting; did you mean 'workers'?"),
        ("log-level = 'info'", "'log-level' in the config file is not a setting; did you mean 'log_level'?"),
        ("[tls]\nkey = 1", "'tls' in the config file is not a setting"),
        ("port = 'x'", "port = 'x' (config file): must be a whole number from 0 to 65535"),
        ("secret_key = 5", "secret_key (config file): must be a valid string"),
        ("headers = [5]", "headers = 5 (config file): must be a valid string"),
        (
            "limit_concurrency = 'x'",
            "limit_concurrency = 'x' (config file): must be a whole number of at least",
        ),
        ("port = 1 2", "Expected newline or end of document after a statement (at line 1, column 10)"),
    ],
)
def test_a_wrong_file_is_told_of(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(content)
    assert message in refusal({"config": str(path)})


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("ssl_keyfile_password = 123456")
    message = refusal({"config": str(path)})
    assert message == "ssl_keyfile_password (config file): must be a valid string"


def test_a_file_that_is_no_text_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\xff\xfe")
    assert "codec can't decode" in refusal({"config": str(path)})
    monkeypatch.setenv("ASHAPP_SECRET_KEY_FILE", str(path))
    assert "the file can't be read ('utf-8' codec" in refusal({})


def test_a_wrong_value_of_a_mounted_file_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "workers"
    path.write_text("many")
    monkeypatch.setenv("ASHAPP_WORKERS_FILE", str(path))
    assert "workers = 'many' (ASHAPP_WORKERS_FILE): must be" in refusal({})


def test_tls_needs_its_files(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    assert "ssl_keyfile = " in refusal({"ssl_keyfile": str(key)})
    key.touch()
    assert refusal({"ssl_keyfile": str(key)}) == "ssl_keyfile needs ssl_certfile"


def test_a_flag_has_uvicorns_name_where_uvicorn_has_one() -> None:
    assert [flag(name) for name in ("headers", "threads")] == ["--header", "--threads"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ASHAPP_DRIAN_DELAY", "ASHAPP_DRAIN_DELAY"),
        ("ASHAPP_LOGLEVEL", "ASHAPP_LOG_LEVEL"),
        ("ASHAPP_THREAD_FILE", "ASHAPP_THREADS"),
    ],
)
def test_a_slip_in_a_variable_is_told(monkeypatch: pytest.MonkeyPatch, name: str, meant: str) -> None:
    monkeypatch.setenv(name, "3")
    assert misspelt_variables() == [f"{name} is no setting, and has no effect; did you mean {meant}?"]


@pytest.mark.parametrize(
    "name",
    [
        "ASHAPP_THREADS",
        "ASHAPP_SECRET_KEY_FILE",
        "ASHAPP_COMMIT",
        "ASHAPP_ENV_FILE",
        "ASHAPP_SMOKE_URL",
        "ASHAPP_SERVICE_HOST",
        "ASHAPP_SERVICE_PORT",
        "ASHAPP_PORT_5000_TCP_ADDR",
        "MY_ASHAPP_THREAD",
        "THREAD",
    ],
)
def test_other_variables_are_nobodys_business(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "3")
    assert misspelt_variables() == []
