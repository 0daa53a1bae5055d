# SPDX-License-Identifier: MIT
from typing import Any

import pytest

from ashapp.server.errors import StartupError
from ashapp.server.settings.loading import load


def test_the_management_port_is_5001_on_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASHAPP_MANAGEMENT_PORT")
    settings = load({})
    assert (settings.management_host, settings.management_port) == ("127.0.0.1", 5001)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("0", 0), (9100, 9100), ("65535", 65535), ("off", "off"), ("OFF", "off"), (False, "off")],
)
def test_the_management_port_is_a_number_or_off(given: Any, meant: int | str) -> None:
    assert load({"management_port": given}).management_port == meant


@pytest.mark.parametrize("wrong", ["65536", "-1", "http", "tcp://10.0.0.7:5001", ""])
def test_any_other_management_port_is_refused(wrong: str) -> None:
    with pytest.raises(StartupError) as caught:
        load({"management_port": wrong})
    assert caught.value.message.startswith(
        f'management_port = {wrong!r} (--management-port): must be a whole number from 0 to 65535, or "off"'
    )


def test_errors_of_readiness_checks_are_shown_without_secrets() -> None:
    assert load({}).readiness_full_errors is False
    assert load({"readiness_full_errors": "true"}).readiness_full_errors is True


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "3601"])
def test_readiness_checks_run_again_within_the_hour(wrong: str) -> None:
    with pytest.raises(StartupError, match="readiness_interval"):
        load({"readiness_interval": wrong})


@pytest.mark.parametrize(
    ("host", "management_host", "fits"),
    [("0.0.0.0", "0.0.0.0", False), ("127.0.0.1", "::", False), ("127.0.0.1", "127.0.0.2", True)],
)
def test_the_management_port_is_not_the_services(host: str, management_host: str, fits: bool) -> None:  # noqa: FBT001
    given = {"host": host, "management_host": management_host, "port": 5001, "management_port": 5001}
    if fits:
        assert load(given).management_port == 5001
    else:
        with pytest.raises(StartupError, match="port and management_port are both 5001"):
            load(given)


@pytest.mark.parametrize("elsewhere", [{"uds": "a.sock"}, {"port": 0, "management_port": 0}])
def test_where_the_service_has_no_port_of_its_own_any_management_port_fits(elsewhere: dict[str, Any]) -> None:
    load({"port": 5001, "management_port": 5001, **elsewhere})
