# SPDX-License-Identifier: MIT
from typing import Any

import pytest

from ashapp.server.settings import ServerSettings, Settings
from ashapp.server.settings.uvicorn_options import UVICORN_OPTIONS


def settings(**values: Any) -> Settings:
    return ServerSettings(**values)


def test_each_option_of_uvicorn_is_a_setting() -> None:
    assert set(UVICORN_OPTIONS) <= set(ServerSettings.model_fields)


def test_each_setting_of_our_own_is_described() -> None:
    own = set(Settings.model_fields) - set(UVICORN_OPTIONS)
    assert [name for name in own if not Settings.model_fields[name].description] == []


def test_uvicorns_defaults_are_left_to_uvicorn() -> None:
    assert settings().uvicorn_config() == {
        "host": "0.0.0.0",
        "port": 5000,
        "workers": 1,
        "reload": False,
        "root_path": "",
        "server_header": False,
        "lifespan": "on",
        "timeout_keep_alive": 90,
        "log_level": "info",
        "access_log": True,
        "proxy_headers": False,
    }


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


@pytest.mark.parametrize(("given", "meant"), [("", ""), ("/", ""), ("/api", "/api"), ("/api/", "/api")])
def test_a_root_path_has_no_slash_at_its_end(given: str, meant: str) -> None:
    assert settings(root_path=given).root_path == meant


@pytest.mark.parametrize(("given", "meant"), [("off", ""), ("", ""), ("/alive", "/alive")])
def test_a_probe_can_be_moved_or_switched_off(given: str, meant: str) -> None:
    assert settings(livez_path=given, readyz_path="", healthz_path="").livez_path == meant


@pytest.mark.parametrize("implementation", ["h11", "shop.protocol:Protocol"])
def test_a_protocol_is_known_or_an_import_string(implementation: str) -> None:
    assert settings(http=implementation).http == implementation


@pytest.mark.parametrize(("reload", "count"), [(False, 4), (True, 1)])
def test_reloading_is_done_with_one_process(*, reload: bool, count: int) -> None:
    assert settings(workers=4, reload=reload).worker_count == count


@pytest.mark.parametrize(
    ("values", "threshold"),
    [
        ({}, 0.5),
        ({"environment": "development"}, 0.1),
        ({"reload": True}, 0.1),
        ({"loop_guard": "0.25"}, 0.25),
        ({"loop_guard": 2, "environment": "development"}, 2),
        ({"loop_guard": 0, "reload": True}, 0),
    ],
)
def test_the_loop_is_watched_more_closely_in_development(values: dict[str, Any], threshold: float) -> None:
    assert settings(**values).loop_guard_threshold == threshold
