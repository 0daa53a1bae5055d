# SPDX-License-Identifier: MIT
"""The control socket is there for as long as the service."""

from pathlib import Path

from ashapp.server.management.control_server import serving
from ashapp.server.settings.model import ServerSettings


def test_its_file_goes_however_the_service_ends(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    for error in (None, SystemExit(3), ValueError("a worker could not start")):
        try:
            with serving(ServerSettings(control_socket=str(path)), None, None):
                assert path.is_socket()
                if error is not None:
                    raise error
        except (SystemExit, ValueError) as raised:
            assert raised is error  # noqa: PT017 - any of them, or none
        assert not path.exists(), error
