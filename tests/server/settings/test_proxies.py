# SPDX-License-Identifier: MIT
from typing import Any

import pytest
from pydantic import ValidationError

from ashapp.server.settings.proxies import Proxying


def test_only_what_is_near_is_trusted_by_default() -> None:
    settings = Proxying()
    assert settings.proxy_headers
    assert settings.forwarded_allow_ips == "127.0.0.1,::1,unix"
    assert settings.forwarded_headers == ["x-forwarded-for", "x-forwarded-proto"]
    assert settings.allowed_hosts == ["*"]


def test_lists_are_given_as_text() -> None:
    values: dict[str, Any] = {
        "forwarded_headers": "Forwarded, X-Forwarded-Prefix",
        "allowed_hosts": "Example.com,.example.org  localhost",
    }
    settings = Proxying(**values)
    assert settings.forwarded_headers == ["forwarded", "x-forwarded-prefix"]
    assert settings.allowed_hosts == ["example.com", ".example.org", "localhost"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"forwarded_allow_ips": "10.0.0.1, proxy"}, "'proxy' is not an address, a network"),
        ({"forwarded_headers": "x-real-ip"}, "'x-real-ip' is not one of x-forwarded-for, "),
        ({"allowed_hosts": ["example.com", "https://a"]}, "'https://a' is not a host"),
    ],
)
def test_a_wrong_value_is_told(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Proxying(**values)
    assert message in str(caught.value)
