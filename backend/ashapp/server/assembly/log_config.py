# SPDX-License-Identifier: MIT
"""Configures logging by the settings: records of uvicorn, of the application and of ashapp look alike."""

import logging
import sys
from functools import partial
from typing import Any

from uvicorn.config import LOG_LEVELS

from ashapp.observe.logs.access_format import line_of_format
from ashapp.observe.logs.access_log import JsonLine, console_line
from ashapp.observe.logs.brief_line import brief_line
from ashapp.observe.logs.formats import LogFormat, console_renderer, log_config
from ashapp.observe.logs.lines import AccessLine, stderr_lines
from ashapp.observe.logs.request_records import LOGGERS, RequestRecords
from ashapp.observe.observation import ManySink, Sink
from ashapp.server.operating_system.terminal import wants_colors
from ashapp.server.settings.model import Settings

__all__ = ["access_logs", "hold_to_rules", "keep_loggers", "logging_options"]

_OURS = frozenset({"ashapp", "uvicorn"})


def logging_options(settings: Settings) -> dict[str, Any]:
    """Return the options for ``uvicorn.Config`` that concern logging.

    A file that is given as ``log_config`` wins: then uvicorn logs by it, and writes the access log itself.
    """
    if settings.log_config is not None:
        return {}
    level, form = LOG_LEVELS[settings.log_level], _format(settings)
    options = {
        "log_config": log_config(level, form, colors=_colors(settings)),
        "access_log": False,
        "use_colors": None,
    }
    # A developer does not need a line for each step of a start.
    return {**options, "log_level": "warning"} if form == "brief" and level == logging.INFO else options


def access_logs(settings: Settings) -> list[Sink | ManySink]:
    """Return the access log as a list of one, or of none if it is off, as it is above level info."""
    quiet = LOG_LEVELS[settings.log_level] > logging.INFO
    if settings.log_config is not None or not settings.access_log or quiet:
        return []
    stderr_lines.make_line = _access_line(settings)
    return [stderr_lines]


def hold_to_rules(settings: Settings) -> None:
    """Let uvicorn's records of requests follow the settings of the access log, whatever configures logging.

    Its record of each WebSocket is in the access log already, unless a file configures logging.
    """
    is_own = settings.log_config is not None
    rules = RequestRecords(access=settings.access_log and is_own, query=settings.access_log_query)
    for name in LOGGERS:
        filters = logging.getLogger(name).filters
        filters[:] = [rules, *(other for other in filters if not isinstance(other, RequestRecords))]


def keep_loggers() -> None:
    """Let uvicorn's and our loggers log again, after the application has been imported.

    An application that calls `logging.config.dictConfig` switches off all loggers that it doesn't name,
    unless it says ``disable_existing_loggers: False``, which the example in Flask's documentation does not.
    """
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in _OURS:
            logger.disabled = False


def _access_line(settings: Settings) -> AccessLine:
    query, text, form = settings.access_log_query, settings.access_log_format, _format(settings)
    if form == "brief":
        return partial(brief_line, colors=_colors(settings))
    if form == "console" and text is None:
        return partial(console_line, render=console_renderer(colors=_colors(settings)), query=query)
    # The method, not the object: CPython would look up ``__call__`` each time.
    as_json = JsonLine(query=query).__call__
    return as_json if text is None else line_of_format(text, as_json, query=query)


def _format(settings: Settings) -> LogFormat:
    if settings.log_format == "auto":
        return "console" if sys.stderr.isatty() else "json"
    if settings.log_format == "console" and settings.debug:
        return "brief"
    return settings.log_format


def _colors(settings: Settings) -> bool:
    return wants_colors(sys.stderr) if settings.use_colors is None else settings.use_colors
