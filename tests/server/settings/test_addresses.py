# SPDX-License-Identifier: MIT
import pytest

from ashapp.server.settings.sources.addresses import (
    Address,
    InheritedAddress,
    TcpAddress,
    UnixAddress,
    address_texts,
    parse_address,
    parse_addresses,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", TcpAddress("127.0.0.1", 80)),
        ("shop.test:0", TcpAddress("shop.test", 0)),
        (":65535", TcpAddress("", 65535)),
        ("[::1]:80", TcpAddress("::1", 80)),
        ("[fe80::1%eth0]:80", TcpAddress("fe80::1%eth0", 80)),
        ("unix:/run/shop.sock", UnixAddress("/run/shop.sock")),
        ("unix:a:1", UnixAddress("a:1", 0o666)),
        ("unix:a?mode=660", UnixAddress("a", 0o660)),
        ("unix:a?mode=0600&owner=www:33", UnixAddress("a", 0o600, "www", "33")),
        ("unix:a?owner=www", UnixAddress("a", 0o666, "www")),
        ("unix:a?owner=:www", UnixAddress("a", 0o666, "", "www")),
        ("fd:3", InheritedAddress(3)),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "80", "127.0.0.1", ":", "a:65536", "a:http", "a:-1", "::1:80", "[a]:80", "[::1]", "a b:80"),
        *("http://a:80", "unix:", "unix:?mode=660", "fd:", "fd:-1", "fd:x", "a:80,b:80", "a:\u0663"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an address to listen on, which is HOST:PORT, ") as caught:
        parse_address(text)
    assert str(caught.value).startswith(repr(text))


@pytest.mark.parametrize(
    "option", ["", "mode=", "mode=888", "mode=66", "mode=u+w", "owner=", "owner=a:", "owner=a:b:c", "size=1"]
)
def test_a_wrong_option_of_a_socket_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match="is neither mode=, an octal number from 000 to 777 such as 660"):
        parse_address(f"unix:a?{option}")


@pytest.mark.parametrize(
    ("texts", "fit"),
    [
        (["0.0.0.0:80", "[::]:80"], True),
        (["127.0.0.1:80", "127.0.0.1:81"], True),
        (["127.0.0.1:80", "[::]:80"], True),
        ([":0", ":0"], True),
        (["unix:a", "unix:b", "fd:3", "fd:4"], True),
        (["a:80", "a:80"], False),
        (["a:80", ":80"], False),
        (["[::1]:80", ":80"], False),
        (["0.0.0.0:80", "127.0.0.1:80"], False),
        (["[::1]:80", "[::]:80"], False),
        (["unix:a", "unix:./a?mode=600"], False),
        (["fd:3", "fd:3"], False),
    ],
)
def test_addresses_are_not_given_twice(texts: list[str], *, fit: bool) -> None:
    if fit:
        assert parse_addresses(texts) == [parse_address(text) for text in texts]
    else:
        with pytest.raises(ValueError, match="are the same address: leave one out"):
            parse_addresses(texts)


def test_there_is_an_address_in_a_list_of_them() -> None:
    assert address_texts(" a:80, unix:b,") == ["a:80", "unix:b"]
    with pytest.raises(ValueError, match="must name an address: HOST:PORT"):
        parse_addresses(address_texts(","))
