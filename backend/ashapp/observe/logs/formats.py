# SPDX-License-Identifier: MIT
"""How log records look, of `logging` and of structlog alike: as JSON, or as lines for a person.

A record of code that serves a request has the request's ids, on the loop and on a thread. No traceback has
the values of local variables, as they may be secrets. At a terminal a record can't begin a further line, nor
send control characters, whatever its text is.
"""

import io
import logging
import threading
import traceback
from typing import Any, Literal, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.types import EventDict, Processor, WrappedLogger

from ashapp.observe.logs.lines import stderr_lines
from ashapp.observe.observation import current

__all__ = ["LineHandler", "LogFormat", "console_renderer", "log_config", "make_formatter", "printable"]

#: As JSON; as lines for a reader; or, for a developer, with the time of day and the message alone.
LogFormat = Literal["json", "console", "brief"]

_log = logging.getLogger("ashapp.observe")
_extra_adder = structlog.stdlib.ExtraAdder()


def log_config(level: int, form: LogFormat, *, colors: bool) -> dict[str, Any]:
    """Return a configuration for `logging.config.dictConfig` that gives all loggers the same format.

    uvicorn's and our own loggers do not depend on the root logger, because an application may set that up
    anew.
    """
    own = {"handlers": ["default"], "level": level, "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"default": {"()": make_formatter, "form": form, "colors": colors}},
        "handlers": {"default": {"()": LineHandler, "formatter": "default"}},
        "root": {"handlers": ["default"], "level": level},
        "loggers": {"ashapp": dict(own), "uvicorn": dict(own)},
    }


def make_formatter(form: LogFormat, *, colors: bool) -> ProcessorFormatter:
    """Return a formatter, and send to `logging` what would bypass it.

    These are structlog's own loggers, unless the application has configured structlog; Python's warnings; and
    uncaught exceptions of threads.
    """
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_end_of_thread
    is_brief = form == "brief"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper("%H:%M:%S" if is_brief else "iso", utc=not is_brief),
        _add_request,
    ]
    if not structlog.is_configured():
        _configure_structlog(shared)
    return ProcessorFormatter(
        foreign_pre_chain=[*shared, _add_extra],
        processors=[ProcessorFormatter.remove_processors_meta, *_renderers(form, colors=colors)],
    )


def _configure_structlog(shared: list[Processor]) -> None:
    """Let structlog's own loggers log through `logging`, after the *shared* processors."""
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


def _renderers(form: LogFormat, *, colors: bool) -> list[Processor]:
    """Return what makes a line of a record."""
    if form == "console":
        return [_escape, console_renderer(colors=colors)]
    if form == "brief":
        return [_escape, _shorten, console_renderer(colors=colors, width=0)]
    transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    # NaN is no JSON.
    to_json = structlog.processors.JSONRenderer(default=repr, allow_nan=False)
    return [structlog.processors.ExceptionRenderer(transform), to_json]


def console_renderer(*, colors: bool, width: int = 30) -> structlog.dev.ConsoleRenderer:
    """Return what makes a line for a reader, with a message that is at least *width* wide."""
    return structlog.dev.ConsoleRenderer(
        width, colors=colors, exception_formatter=_write_traceback, sort_keys=False
    )


def printable(text: str, kept: str = "") -> str:
    """Return *text* with escapes for what can't be printed, but the characters *kept*."""
    if text.isprintable():
        return text
    return "".join(
        [
            char if char.isprintable() or char in kept else char.encode("unicode_escape").decode()
            for char in text
        ]
    )


class LineHandler(logging.Handler):
    """A handler of `logging` that writes to `stderr_lines`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Format and write *record*. If that fails, write in the same form that it failed."""
        try:
            try:
                line = self.format(record)
            except Exception as error:
                where = f"{record.pathname}:{record.lineno}"
                why = f"{type(error).__name__}: {error}"
                text = f"{record.msg!s} [logged at {where}, but can't be formatted: {why}]"
                plain = logging.LogRecord(
                    record.name, record.levelno, record.pathname, record.lineno, text, None, None
                )
                line = self.format(plain)
        except Exception:
            # Not by ``handleError``, which writes to standard error itself.
            line = f"--- Logging error ---\n{traceback.format_exc()}"
        stderr_lines.write(f"{line}\n")


def _log_end_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread is not None else None
        _log.error("Exception in thread %s", name, exc_info=args.exc_value)


def _add_request(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    observation = current.get()
    if observation is not None:
        event["request_id"] = observation.request_id
        event["trace_id"] = observation.trace_id
        event["span_id"] = observation.span_id
    return event


def _add_extra(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Add the fields of ``extra``. One with a name of ours gets the prefix ``extra_``."""
    extra = _extra_adder(logger, name, {"_record": event["_record"]})
    for key, value in extra.items():
        if key not in {"_record", "color_message"}:  # the latter is uvicorn's, the message once more
            event[f"extra_{key}" if key in event else key] = value
    return event


def _escape(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    escaped: EventDict = {}
    # Some messages of ours, of Python's warnings and of uvicorn have several lines on purpose.
    is_ours = event.get("logger", "").partition(".")[0] in {"ashapp", "py", "uvicorn"}
    for key, value in event.items():
        name = printable(str(key))
        if key in {"trace_id", "span_id"}:
            continue  # the request id is enough here
        if key == "exc_info":
            escaped[name] = value  # see _write_traceback
        elif key in {"exception", "stack"} or (key == "event" and is_ours):
            escaped[name] = _indented(str(value))
        elif key == "event":
            escaped[name] = printable(str(value).rstrip("\n"))
        else:
            text = value if isinstance(value, str) else repr(value)
            escaped[name] = value if text.isprintable() else printable(text)
    return escaped


def _shorten(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Leave out what a developer knows, who looks at one process."""
    if event.get("level") == "info":
        del event["level"]
    return {key: value for key, value in event.items() if key not in {"logger", "request_id"}}


def _indented(text: str) -> str:
    return printable(text.rstrip("\n"), "\n").replace("\n", "\n    ")


def _write_traceback(stream: TextIO, exc_info: Any) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    stream.write("    " + _indented(text.getvalue()))
