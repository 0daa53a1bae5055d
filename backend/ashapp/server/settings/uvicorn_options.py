# SPDX-License-Identifier: MIT
"""The options of the installed uvicorn, read from its own command line.

A new uvicorn release brings its new options; nothing here names them one by one.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import click
import uvicorn
from uvicorn.main import main as uvicorn_command

from ashapp.server.validation.kinds import FLAG, Kind

__all__ = ["CONFIG_PARAMETERS", "UVICORN_OPTIONS", "kind_of"]

CONFIG_PARAMETERS = frozenset(inspect.signature(uvicorn.Config).parameters)

# How the application is found and called is decided here. `env_file` must be read before the settings.
# `stall_timeout` is in place of uvicorn's health check of its workers. `limit_concurrency` is an alias.
_NOT_OFFERED = {"factory", "interface", "env_file", "timeout_worker_healthcheck", "limit_concurrency"}

UVICORN_OPTIONS: Mapping[str, click.Option] = {
    option.name: option
    for option in uvicorn_command.params
    if isinstance(option, click.Option) and option.name in CONFIG_PARAMETERS - _NOT_OFFERED
}


def kind_of(option: click.Option) -> Kind:
    """Return the kind of *option*. If it may be repeated, a text is split at commas."""
    if option.is_flag:
        return FLAG

    def convert(value: Any) -> Any:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("must have no null character")
        try:
            return option.type.convert(value, option, None)
        except click.BadParameter as error:
            raise ValueError(error.message) from error

    if option.multiple:
        return Kind("must be a list", lambda values: [*map(convert, values)], _items, is_several=True)
    return Kind("must be a value", convert)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")]
