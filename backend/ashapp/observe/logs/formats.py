# SPDX-License-Identifier: MIT
"""How log records look: those of `logging` and of structlog alike, as JSON or for a reader at a terminal.

Each record made while a request is served, on the loop or on a thread, has the request's ids. No record has
the values of local variables: a traceback is where secrets show up.
"""

import io
import logging
import threading
from typing import Any, Literal, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.types import EventDict, Processor, WrappedLogger

from ashapp.observe.logs.printable import indented, printable
from ashapp.observe.observation import current

__all__ = ["LogFormat", "add_request", "console_renderer", "log_config", "make_formatter"]

LogFormat = Literal["json", "console"]

_log = logging.getLogger("ashapp.observe")


_extra_adder = structlog.stdlib.ExtraAdder()


def log_config(level: int, form: LogFormat, *, colors: bool) -> dict[str, Any]:
    """Return a configuration for `logging.config.dictConfig` by which all loggers log in one way.

    The root logger has what libraries and applications log, Flask's ``app.logger`` among them, from *level*
    on. uvicorn's and our own loggers do not depend on it, because an application may set up the root anew.
    """
    own = {"handlers": ["default"], "level": level, "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"default": {"()": make_formatter, "form": form, "colors": colors}},
        "handlers": {"default": {"class": "ashapp.observe.logs.lines.LineHandler", "formatter": "default"}},
        "root": {"handlers": ["default"], "level": level},
        "loggers": {"ashapp": dict(own), "uvicorn": dict(own)},
    }


def make_formatter(form: LogFormat, *, colors: bool) -> ProcessorFormatter:
    """Return a formatter, after what else would be told in another way has been led to `logging`.

    That is structlog's own loggers, unless the application has configured structlog; Python's warnings; and
    the exceptions that threads end with.
    """
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_end_of_thread
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_request,
    ]
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                *shared,
                structlog.stdlib.PositionalArgumentsFormatter(),
                structlog.processors.StackInfoRenderer(),
                ProcessorFormatter.wrap_for_formatter,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        )
    return ProcessorFormatter(
        foreign_pre_chain=[*shared, _add_extra, _drop_colored_message],
        processors=[ProcessorFormatter.remove_processors_meta, *_renderers(form, colors=colors)],
    )


def console_renderer(*, colors: bool) -> structlog.dev.ConsoleRenderer:
    """Return what makes a line for a reader."""
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_write_traceback, sort_keys=False)


def add_request(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Add the ids of the request that is being served."""
    observation = current.get()
    if observation is not None:
        event["request_id"] = observation.request_id
        event["trace_id"] = observation.trace_id
        event["span_id"] = observation.span_id
    return event


def _log_end_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread is not None else None
        _log.error("Exception in thread %s", name, exc_info=args.exc_value)


def _add_extra(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Add what is given as ``extra``; where that has a name of ours, as ``extra_`` and the name."""
    extra = _extra_adder(logger, name, {"_record": event["_record"]})
    for key, value in extra.items():
        if key != "_record":
            event[f"extra_{key}" if key in event else key] = value
    return event


def _renderers(form: LogFormat, *, colors: bool) -> list[Processor]:
    if form == "console":
        return [_drop_trace, _escape, console_renderer(colors=colors)]
    transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [
        structlog.processors.ExceptionRenderer(transform),
        # NaN is no JSON.
        structlog.processors.JSONRenderer(default=repr, allow_nan=False),
    ]


def _drop_colored_message(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn's, the message once more
    return event


def _escape(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Let a record begin one line only, and have no effect on a terminal, whatever is in it."""
    escaped: EventDict = {}
    for key, value in event.items():
        name = printable(str(key))
        if key == "exc_info":
            escaped[name] = value  # see _write_traceback
        elif key in {"exception", "stack"} or (key == "event" and _is_ours(event.get("logger", ""))):
            escaped[name] = indented(str(value))
        elif key == "event" or isinstance(value, str):
            escaped[name] = printable(str(value).rstrip("\n") if key == "event" else value)
        else:
            text = repr(value)
            escaped[name] = value if text.isprintable() else printable(text)
    return escaped


def _is_ours(logger: str) -> bool:
    """Return whether its messages have lines on purpose, as stacks of threads and Python's warnings do."""
    return logger.partition(".")[0] in {"ashapp", "py", "uvicorn"}


def _write_traceback(stream: TextIO, exc_info: Any) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    stream.write("    " + indented(text.getvalue()))


def _drop_trace(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    # At a terminal the request id is enough to tell requests apart.
    for name in ("trace_id", "span_id"):
        event.pop(name, None)
    return event
