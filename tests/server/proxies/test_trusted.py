# SPDX-License-Identifier: MIT
import pytest

from ashapp.server.proxies.trusted import UNIX, TrustedProxies, normal_address

#: A setting, who is trusted by it, and who is not.
TRUSTED = [
    ("127.0.0.1,::1,unix", ["127.0.0.1", "::1", "0:0:0:0:0:0:0:1", UNIX], []),
    ("127.0.0.1", ["::ffff:127.0.0.1"], [UNIX, "127.0.0.2"]),
    ("10.0.0.0/8, 192.168.0.0/16", ["10.255.0.1", "192.168.7.1"], ["11.0.0.1"]),
    ("2001:db8::/32", ["2001:db8::7"], ["10.0.0.1"]),
    ("*", ["203.0.113.7", UNIX], []),
    ("*,10.0.0.1", ["203.0.113.7"], []),
    ("10.0.0.1", [], ["testclient", ""]),
    (" , ", [], ["127.0.0.1"]),
]


@pytest.mark.parametrize(("text", "trusted", "others"), TRUSTED)
def test_a_proxy_is_trusted_by_address_and_network(text: str, trusted: list[str], others: list[str]) -> None:
    found = {address: TrustedProxies(text).trusts(address) for address in [*trusted, *others]}
    assert found == {**dict.fromkeys(trusted, True), **dict.fromkeys(others, False)}


@pytest.mark.parametrize("entry", ["localhost", "10.0.0.1/8", "10.0.0.256", "10.0.0.0/33", "**", "::g"])
def test_what_is_neither_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="is not an address, a network such as") as caught:
        TrustedProxies(f"127.0.0.1,{entry}")
    assert str(caught.value).startswith(repr(entry))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.01", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_an_address_has_one_form(text: str, address: str | None) -> None:
    assert normal_address(text) == address
