# SPDX-License-Identifier: MIT
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ashapp.server.errors import StartupError
from ashapp.server.settings.loading import flag, load, misspelt_variables
from ashapp.server.settings.sources.addresses import TcpAddress, UnixAddress


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
    assert settings.secret_key.text == " correct horse "
    assert settings.threads == 8
    assert "horse" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "text", "seconds"),
    [
        ("drain_delay", "500ms", 0.5),
        ("drain_delay", "1.5", 1.5),
        ("drain_delay", " 30 S ", 30),
        ("timeout_keep_alive", "2m", 120),
        ("reload_delay", ".5s", 0.5),
        ("readiness_interval", "1h", 3600),
    ],
)
def test_a_duration_may_have_a_unit(name: str, text: str, seconds: float) -> None:
    assert getattr(load({name: text}), name) == seconds


def test_uvicorns_name_of_a_setting_works_too() -> None:
    for given in ({"limit_concurrency": "60"}, {"limit_concurrency": "60", "limit_in_flight": 60}):
        assert load(given).limit_in_flight == 60
        assert "limit_concurrency" not in load(given).uvicorn_config()


PORT, WORKERS = "a whole number from 0 to 65535", "a whole number from 1 to 1024"
COUNT, NUMBER, BYTES = (
    "a whole number of at least 1",
    "a number of at least 0",
    "a number of bytes of at least",
)
HEADER, HOST = "is not a header of the form 'Name: value'", "is not a host"
NO_FILE = "the file can't be read (No such file or directory)"

#: A setting or a variable, what is given, and what is told after it.
WRONG = [
    ("port", "abc", f"must be {PORT}"),
    ("port", "65536", f"must be {PORT}"),
    ("ASHAPP_WORKERS", "0", f"must be {WORKERS}"),
    ("WEB_CONCURRENCY", "x", f"must be {WORKERS}"),
    ("limit_concurrency", "0.5", f"must be {COUNT}"),
    ("limit_queue", "0", f"must be {COUNT}"),
    ("limit_queue", True, f"must be {COUNT}"),
    ("limit_fields", 1.5, f"must be {COUNT}"),
    ("mount", 7, "must be a table of targets"),
    ("limit_body", "12XB", f"must be {BYTES} 0, such as 20MiB"),
    ("limit_buffered", "0", f"must be {BYTES} 1, such as 20MiB"),
    ("read_ahead", "-1", f"must be {BYTES} 0"),
    ("timeout_head", "inf", f"must be {NUMBER}"),
    ("limit_blocking", "-1", f"must be {NUMBER}"),
    ("loop_guard", "nan", f"must be {NUMBER}"),
    ("readiness_interval", "3601", "must be"),
    ("readiness_interval", "nan", "must be"),
    ("reload_delay", "0", "must be a number above 0"),
    ("reload", "maybe", "must be true or false"),
    ("ASHAPP_ACCESS_LOG", "maybe", "must be true or false"),
    ("prestart", "sh '", "must be a command as a shell reads it (No closing quotation)"),
    ("umask", "888", "must be an octal number from 0 to 777, such as 027"),
    ("umask", 0o1000, "must be an octal number from 0 to 777, such as 027"),
    ("log_format", "xml", "must be 'auto', 'json' or 'console'"),
    ("log_config", "nowhere", "must be the path of a file that is there"),
    ("environment", "prod", "must be 'production' or 'development'"),
    ("forwarded_allow_ips", "", "must name an address, or * for all"),
    ("forwarded_allow_ips", "10.0.0.1, proxy", "'proxy' is not an address, a network"),
    ("forwarded_headers", "x-real-ip", "'x-real-ip' is not one of x-forwarded-for, "),
    ("allowed_hosts", "https://a", f"'https://a' {HOST}"),
    ("ssl_version", "x", "'x' is not a valid integer."),
    ("ASHAPP_HEADERS", "X-Ok: 1\nBad Name: 2", f"'Bad Name: 2' {HEADER}"),
    ("root_path", "api", "must begin with a slash"),
    ("livez_path", "live", 'must begin with a slash, or be "off"'),
    ("http", "h3", "must be one of auto, h11, httptools"),
    ("config", "/nowhere.toml", NO_FILE),
    ("fd", 2**31, "must be a whole number from 0 to 2147483647"),
    ("backlog", "1e300", "must be a whole number from 1 to 2147483647"),
    *((name, "/a\0b", "must be a valid string") for name in ("uds", "pidfile", "control_socket", "prestart")),
    ("bind", "unix:/a\0b", "must be a list of strings"),
    ("reload_dirs", "/a\0b", "must have no null character"),
    *(
        ("management_port", wrong, f'must be {PORT}, or "off"')
        for wrong in ("65536", "-1", "http", "tcp://a:1", "")
    ),
]


@pytest.mark.parametrize(("name", "value", "told"), WRONG)
def test_a_wrong_value_is_named_with_its_source_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: Any, told: str
) -> None:
    if name.isupper():
        monkeypatch.setenv(name, value)
        setting = {"WEB_CONCURRENCY": "workers"}.get(name, name.removeprefix("ASHAPP_").lower())
        assert f"{setting} = " in refusal({})
        assert f" ({name}): {told}" in refusal({})
    else:
        assert f"{name} = {value!r} ({flag(name)}): {told}" in refusal({name: value})


KEY_FILE = "ASHAPP_SECRET_KEY_FILE"


@pytest.mark.parametrize(
    ("flags", "variables", "message"),
    [
        (
            {"limit_concurrency": "5", "limit_in_flight": "6"},
            {},
            "limit_concurrency is another name of limit_in",
        ),
        (
            {"limit_target": "1000", "limit_head": "999"},
            {},
            "limit_target = 1000 is more than limit_head = 999",
        ),
        (
            {"workers": "2", "supervisor": False},
            {},
            "supervisor is off, but workers > 1, limit_max_requests and limit_max_memory need it",
        ),
        ({"mount": ["mcp=shop:api"]}, {}, "mcp=shop:api is not of the form '/prefix=module:application'"),
        ({"mount": ["/v2"]}, {}, "/v2 is not of the form '/prefix=module:application'"),
        ({"mount": ["/v2=a", "/v2=b"]}, {}, "each prefix may be given once"),
        ({"headers": ["X-Ok: 1", "bad"]}, {}, f"'bad' {HEADER}"),
        ({"livez_path": "/readyz"}, {}, "livez_path, readyz_path and healthz_path must differ"),
        ({"uds": "/run/x", "fd": "3"}, {}, "uds = '/run/x' and fd = 3 exclude each other: give one of them"),
        (
            {"bind": ["a"]},
            {},
            "bind = ['a'] (--bind): 'a' is not an address to listen on, which is HOST:PORT",
        ),
        ({"uds": "x", "bind": (":80",)}, {}, "--uds and bind (--bind) exclude each other"),
        ({"port": "80"}, {"ASHAPP_BIND": ":80"}, "--port and bind (ASHAPP_BIND) exclude each other"),
        ({"log_level": "x" * 500}, {}, f"log_level = '{'x' * 99}... (--log-level): must be 'critical'"),
        ({"app": ""}, {}, "app = '' (TARGET): "),
        ({"port": "x", "workers": "y"}, {}, f"to 65535; workers = 'y' (--workers): must be {WORKERS}"),
        ({}, {KEY_FILE: "/nowhere"}, f"{KEY_FILE} = '/nowhere': {NO_FILE}"),
        ({}, {"ASHAPP_SECRET_KEY": "one", KEY_FILE: "key"}, f"ASHAPP_SECRET_KEY and {KEY_FILE} are both set"),
    ],
)
def test_what_does_not_go_together_is_told(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any], variables: dict[str, str], message: str
) -> None:
    set_variables(monkeypatch, variables)
    assert message in refusal(flags)


def test_faults_need_the_management_port() -> None:
    assert load({"management_port": "0", "faults": True}).faults
    assert "faults are asked for at the management port, which is off" in refusal({"faults": True})


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


def test_several_addresses_take_the_place_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, {"ASHAPP_BIND": "127.0.0.1:80, unix:a?mode=600", "PORT": "5001"})
    assert load({}).addresses == [TcpAddress("127.0.0.1", 80), UnixAddress("a", 0o600)]
    assert load({"bind": [":81"]}).addresses == [TcpAddress("", 81)]
    told = "the port in bind and management_port are both 5001: choose another management_port, or off"
    assert told in refusal({"bind": ["[::1]:80", ":5001"], "management_port": "5001"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("workerz = 2", "'workerz' in the config file is not a setting; did you mean 'workers'?"),
        ("log-level = 'info'", "'log-level' in the config file is not a setting; did you mean 'log_level'?"),
        ("self = 1", "'self' in the config file is not a setting"),
        ("[tls]\nkey = 1", "'tls' in the config file is a table: settings are in none"),
        ("[mounts]\n'/a' = 'b'", "'mounts' in the config file is not a setting; did you mean 'mount'?"),
        ("port = 'x'", "port = 'x' (config file): must be a whole number from 0 to 65535"),
        ("secret_key = 5", "secret_key (config file): must be a valid string"),
        ("ssl_keyfile_password = 1234", "ssl_keyfile_password (config file): must be a valid string"),
        ("headers = [5]", "headers = [5] (config file): must be a list of strings"),
        ("limit_concurrency = 'x'", f"limit_concurrency = 'x' (config file): must be {COUNT}"),
        ("port = 1 2", "Expected newline or end of document after a statement (at line 1, column 10)"),
    ],
)
def test_a_wrong_file_is_told_of(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(content)
    assert message in refusal({"config": str(path)})
    assert "1234" not in refusal({"config": str(path)})


def test_a_mounted_file_that_is_no_text_or_has_a_wrong_value_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\xff\xfe")
    assert "codec can't decode" in refusal({"config": str(path)})
    monkeypatch.setenv("ASHAPP_SECRET_KEY_FILE", str(path))
    assert "the file can't be read ('utf-8' codec" in refusal({})
    monkeypatch.delenv("ASHAPP_SECRET_KEY_FILE")
    path.write_text("many")
    monkeypatch.setenv("ASHAPP_WORKERS_FILE", str(path))
    assert "workers = 'many' (ASHAPP_WORKERS_FILE): must be" in refusal({})


def test_tls_needs_its_files(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    assert "ssl_keyfile = " in refusal({"ssl_keyfile": str(key)})
    key.touch()
    assert (
        refusal({"ssl_keyfile": str(key)})
        == "ssl_keyfile is given without ssl_certfile: give both, or neither"
    )


SLIPS = {
    "ASHAPP_DRIAN_DELAY": "ASHAPP_DRAIN_DELAY",
    "ASHAPP_LOGLEVEL": "ASHAPP_LOG_LEVEL",
    "ASHAPP_THREAD_FILE": "ASHAPP_THREADS",
}
NO_SLIPS = (
    "ASHAPP_THREADS ASHAPP_SECRET_KEY_FILE ASHAPP_API_BACKENDS ASHAPP_API_CORS_ORIGINS ASHAPP_COMMIT "
    "ASHAPP_ENV_FILE ASHAPP_SMOKE_URL "
    "ASHAPP_SERVICE_HOST ASHAPP_SERVICE_PORT ASHAPP_PORT_5000_TCP_ADDR MY_ASHAPP_THREAD THREAD"
)


def test_a_slip_in_a_variable_is_told_and_other_variables_are_nobodys_business(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_variables(monkeypatch, dict.fromkeys([*SLIPS, *NO_SLIPS.split()], "3"))
    told = [f"{name} is no setting, and has no effect; did you mean {SLIPS[name]}?" for name in SLIPS]
    assert sorted(misspelt_variables()) == sorted(told)
