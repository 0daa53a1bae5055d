# SPDX-License-Identifier: MIT
"""The options of the installed uvicorn, read from its own command line.

A new uvicorn release brings its new options; nothing here names them one by one.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import click
import uvicorn
from uvicorn.main import main as uvicorn_command

__all__ = ["CONFIG_PARAMETERS", "UVICORN_OPTIONS", "converter"]

CONFIG_PARAMETERS = frozenset(inspect.signature(uvicorn.Config).parameters)

# How the application is found and called is decided here. `env_file` must be read before the settings.
# `stall_timeout` is in place of uvicorn's health check of its workers. `limit_concurrency` is an alias.
_NOT_OFFERED = {"factory", "interface", "env_file", "timeout_worker_healthcheck", "limit_concurrency"}

UVICORN_OPTIONS: Mapping[str, click.Option] = {
    option.name: option
    for option in uvicorn_command.params
    if isinstance(option, click.Option) and option.name in CONFIG_PARAMETERS - _NOT_OFFERED
}


def converter(option: click.Option) -> Callable[[Any], Any]:
    """Return a function that validates a value as the option's click type does.

    A text given for an option that may be repeated is split at commas.
    The function raises ``ValueError`` with click's explanation.
    """

    def convert_one(value: Any) -> Any:
        try:
            return option.type.convert(value, option, None)
        except click.BadParameter as error:
            raise ValueError(error.message) from error

    def convert_many(value: Any) -> list[Any]:
        items = value.split(",") if isinstance(value, str) else value
        return [convert_one(item.strip() if isinstance(item, str) else item) for item in items]

    return convert_many if option.multiple else convert_one
