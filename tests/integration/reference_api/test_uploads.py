# SPDX-License-Identifier: MIT
"""Large uploads, and those that break off."""

import pytest

from tests.support.client import Address, Connection, fetch


@pytest.mark.parametrize("path", ["/upload", "/echo"])
@pytest.mark.parametrize(
    ("framing", "part"),
    [("Content-Length: 1000", "short"), ("Transfer-Encoding: chunked", "5\r\nshort\r\n")],
)
@pytest.mark.parametrize("vanish", [True, False])
def test_an_upload_that_breaks_off_is_never_taken_for_whole(
    address: Address,
    path: str,
    framing: str,
    part: str,
    vanish: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    with Connection(address) as connection:
        connection.send(f"PUT {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n{part}".encode())
        if vanish:
            connection.vanish()
        else:
            connection.finish_sending()
            assert connection.is_closed()
    # The log of the server, when it has ended, must not tell of it either.
    assert fetch(address, "/version").status == 200
