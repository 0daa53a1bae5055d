# SPDX-License-Identifier: MIT
from typing import Any

import click
import pytest

from ashapp.server.settings.uvicorn_options import CONFIG_PARAMETERS, UVICORN_OPTIONS, converter


def test_every_option_is_one_that_uvicorns_configuration_takes() -> None:
    assert set(UVICORN_OPTIONS) <= CONFIG_PARAMETERS
    assert {"backlog", "ssl_keyfile", "headers", "limit_concurrency"} <= set(UVICORN_OPTIONS)


def test_how_the_application_is_found_is_not_left_to_uvicorn() -> None:
    assert not {"app", "app_dir", "factory", "interface", "env_file"} & set(UVICORN_OPTIONS)


def test_the_health_of_workers_is_not_left_to_uvicorn() -> None:
    assert "timeout_worker_healthcheck" not in UVICORN_OPTIONS


@pytest.mark.parametrize(
    ("option", "value", "converted"),
    [
        (click.Option(["--n"], type=int), "5", 5),
        (click.Option(["--n"], type=int), 5, 5),
        (click.Option(["--x"], type=float), "0.5", 0.5),
        (click.Option(["--on"], is_flag=True), "yes", True),
        (click.Option(["--many"], multiple=True), "a, b", ["a", "b"]),
        (click.Option(["--many"], multiple=True, type=int), ["1", 2], [1, 2]),
    ],
)
def test_a_value_is_converted_as_click_does(option: click.Option, value: Any, converted: Any) -> None:
    assert converter(option)(value) == converted


def test_clicks_explanation_is_kept() -> None:
    with pytest.raises(ValueError, match="'x' is not a valid integer"):
        converter(click.Option(["--n"], type=int))("x")
