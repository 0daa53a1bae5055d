# SPDX-License-Identifier: MIT
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from ashapp.server.errors import StartupError
from ashapp.server.settings import ServerSettings
from ashapp.server.settings.sources import ConfigFile, CustomaryVariables, Environment, MountedFiles, variable


def test_the_variable_of_a_setting() -> None:
    assert variable("log_level") == "ASHAPP_LOG_LEVEL"


def test_the_environment_may_hold_a_kubernetes_service_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASHAPP_PORT", "tcp://10.96.0.12:5000")
    monkeypatch.setenv("ASHAPP_MANAGEMENT_PORT", "tcp://10.96.0.13:5001")
    monkeypatch.setenv("ASHAPP_HOST", "127.0.0.1")
    assert Environment(ServerSettings)() == {"host": "127.0.0.1"}


def test_a_customary_variable_is_looked_up_by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "80")
    source = CustomaryVariables(ServerSettings)
    assert source() == {"port": "80"}
    assert source.get_field_value(FieldInfo(), "port") == ("80", "port", False)


def test_a_value_and_its_file_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASHAPP_SECRET_KEY", "one")
    monkeypatch.setenv("ASHAPP_SECRET_KEY_FILE", "/run/secrets/key")
    with pytest.raises(StartupError, match="ASHAPP_SECRET_KEY and ASHAPP_SECRET_KEY_FILE are both set"):
        MountedFiles(ServerSettings)()


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("ASHAPP_SECRET_KEY_FILE", str(path))
    with pytest.raises(StartupError, match=r"^ASHAPP_SECRET_KEY_FILE = '.*': the file can't be read \("):
        MountedFiles(ServerSettings)()


def test_the_config_file_is_read_as_a_whole() -> None:
    with pytest.raises(NotImplementedError):
        ConfigFile(ServerSettings).get_field_value(FieldInfo(), "port")
