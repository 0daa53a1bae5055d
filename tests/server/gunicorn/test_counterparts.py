# SPDX-License-Identifier: MIT
from typing import Any

import pytest
from gunicorn.config import KNOWN_SETTINGS  # type: ignore[import-untyped]

from ashapp.server.gunicorn.counterparts import COUNTERPARTS, SECTIONS
from ashapp.server.settings.loading import load
from ashapp.server.settings.model import ServerSettings


def test_each_setting_of_gunicorn_is_told_of_in_its_section() -> None:
    theirs = {(each.section, each.name) for each in KNOWN_SETTINGS}
    ours = {(title, name) for title, section in SECTIONS.items() for name in section}
    assert theirs - ours == set(), "newer than the installed table: add them"
    assert len(ours) > 100


def test_each_counterpart_is_a_setting_and_each_other_one_says_what_to_do() -> None:
    assert {each.setting for each in COUNTERPARTS.values() if each.setting} <= set(ServerSettings.fields)
    assert [name for name, each in COUNTERPARTS.items() if not (each.setting or each.note)] == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("bind", "127.0.0.1", {"host": "127.0.0.1", "port": 8000}),
        ("bind", "127.0.0.1:80", {"host": "127.0.0.1", "port": 80}),
        ("bind", ":9000", {"host": "0.0.0.0", "port": 9000}),
        ("bind", "tcp://shop:9000", {"host": "shop", "port": 9000}),
        ("bind", "[::]:9000", {"host": "::", "port": 9000}),
        ("bind", "[::1]", {"host": "::1", "port": 8000}),
        ("bind", "unix:/run/shop.sock", {"uds": "/run/shop.sock"}),
        ("bind", "unix:///run/shop.sock", {"uds": "/run/shop.sock"}),
        ("bind", "fd://3", {"fd": 3}),
        ("bind", [":1", "unix:///run/a"], {"bind": ["0.0.0.0:1", "unix:/run/a"]}),
        ("bind", "tcp://shop, fd://3", {"bind": ["shop:8000", "fd:3"]}),
        ("bind", ":1,:1", {}),
        ("bind", "shop:http", {}),
        ("bind", [], {}),
        ("accesslog", "-", {"access_log": True}),
        ("access_log_format", '%(h)s "%(r)s"', {"access_log_format": '%(h)s "%(r)s"'}),
        ("access_log_format", "%({etag}o)s", {}),
        ("access_log_format", "path", {}),
        ("loglevel", "INFO", {"log_level": "info"}),
        ("max_requests", 0, {}),
        ("max_requests", 1000, {"limit_max_requests": 1000}),
        ("limit_request_line", 0, {}),
        ("graceful_timeout", 30, {"timeout_graceful_shutdown": 30}),
        ("forwarded_allow_ips", "10.0.0.1, 10.0.0.2", {"forwarded_allow_ips": "10.0.0.1,10.0.0.2,unix"}),
        ("forwarded_allow_ips", ["*"], {"forwarded_allow_ips": "*"}),
        ("proxy_allow_ips", ["10.0.0.0/8"], {"forwarded_allow_ips": "10.0.0.0/8,unix"}),
        ("proxy_allow_ips", "", {"forwarded_allow_ips": "unix"}),
        ("proxy_protocol", True, {"proxy_protocol": True}),
        ("proxy_protocol", " V2", {"proxy_protocol": True}),
        ("proxy_protocol", "off", {"proxy_protocol": False}),
        ("preload_app", True, {}),
    ],
)
def test_what_a_value_stands_for(name: str, value: Any, expected: dict[str, Any]) -> None:
    found = COUNTERPARTS[name].convert(value)
    assert found == expected
    settings = load({"management_port": "off", **found})
    for ours, setting in found.items():
        assert getattr(settings, ours) == setting
