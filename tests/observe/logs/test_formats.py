# SPDX-License-Identifier: MIT
import asyncio
import json
import logging
import logging.config
import threading
import warnings
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
import structlog
from flask import Flask

from ashapp.bridge import FlaskToAsgi
from ashapp.observe.logs.formats import LogFormat, log_config, make_formatter
from ashapp.observe.observation import Observation, current
from ashapp.observe.observer import Observer
from tests.support.asgi import Client, fetch, http_scope

NAMES = ("", "ashapp", "uvicorn", "uvicorn.error", "shop")

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _loggers() -> Iterator[None]:
    """Leave the loggers of the test run as they were."""
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    structlog.reset_defaults()
    hook = threading.excepthook
    yield
    structlog.reset_defaults()
    threading.excepthook = hook
    logging.captureWarnings(capture=False)
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def configure(form: LogFormat = "json", *, colors: bool = False, level: int = logging.INFO) -> None:
    logging.config.dictConfig(log_config(level, form, colors=colors))


@pytest.fixture
def json_lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    configure()
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def observation(request_id: bytes = b"r1") -> Observation:
    async def send(message: Any) -> None: ...

    headers = [(b"x-request-id", request_id)]
    return Observation(http_scope(headers=headers), send, lambda observation: None)


def test_each_logger_writes_json_above_the_level_that_is_that_of_all(json_lines: Lines) -> None:
    for name in ("", "shop", "uvicorn.error", "ashapp.server"):
        logging.getLogger(name).debug("not told")
        logging.getLogger(name).info("sold %d", 3)
        (line,) = json_lines()
        assert line.pop("timestamp").endswith("Z")
        assert line == {"event": "sold 3", "level": "info", "logger": name or "root"}


def test_what_is_given_beside_the_message_is_kept_and_takes_no_name_of_ours(json_lines: Lines) -> None:
    logging.getLogger("uvicorn.error").info("started", extra={"color_message": "\x1b[1mstarted"})
    token = current.set(observation())
    extra = {"item": 7, "buyer": threading, "event": "sale", "level": 5, "request_id": "another"}
    logging.getLogger("shop").info("sold", extra=extra)
    current.reset(token)
    started, sold = json_lines()
    assert "color_message" not in started
    assert (sold["item"], sold["buyer"]) == (7, repr(threading))
    assert (sold["event"], sold["level"], sold["request_id"]) == ("sold", "info", "r1")
    assert (sold["extra_event"], sold["extra_level"], sold["extra_request_id"]) == ("sale", 5, "another")


@pytest.mark.parametrize(("args", "extra"), [(("three",), {}), ((3,), {"price": float("nan")})])
def test_a_record_that_cannot_be_formatted_is_json(
    json_lines: Lines, args: tuple[object], extra: dict[str, object]
) -> None:
    record = logging.LogRecord("shop", logging.WARNING, "shop.py", 7, "sold %d", args, None)
    vars(record).update(extra)
    # Not by its logger: pytest has a handler that raises.
    logging.getLogger("ashapp").handlers[0].emit(record)
    (line,) = json_lines()
    assert line["event"].startswith("sold %d [logged at shop.py:7, but can't be formatted: ")
    assert (line["level"], line["logger"]) == ("warning", "shop")


def test_warnings_are_logged(json_lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("sold out", stacklevel=1)
    (line,) = json_lines()
    assert (line["level"], line["logger"]) == ("warning", "py.warnings")
    assert "UserWarning: sold out" in line["event"]


@pytest.mark.parametrize(("error", "told"), [(LookupError("no such item"), 1), (SystemExit(), 0)])
def test_an_exception_that_ends_a_thread_is_logged(
    json_lines: Lines, error: BaseException, told: int
) -> None:
    def run() -> None:
        raise error

    thread = threading.Thread(target=run, name="stock")
    thread.start()
    thread.join()
    lines = json_lines()
    assert [line["event"] for line in lines] == ["Exception in thread stock"] * told
    assert [line["exception"][0]["exc_type"] for line in lines] == ["LookupError"] * told


def test_structlogs_loggers_take_the_same_way(json_lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(customer="c1"):
        structlog.get_logger("shop").info("sold", item=7)
        structlog.get_logger("shop").debug("not told")
        logging.getLogger("shop").info("paid")
    sold, paid = json_lines()
    expected = {"event": "sold", "item": 7, "customer": "c1", "level": "info", "logger": "shop"}
    assert expected.items() <= sold.items()
    assert paid["customer"] == "c1"


def test_an_application_that_has_configured_structlog_keeps_that() -> None:
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    mine = structlog.get_config()["processors"]
    make_formatter("json", colors=False)
    assert structlog.get_config()["processors"] is mine


def fail(password: str) -> None:
    raise LookupError("no such item")


def test_an_exception_is_structured_and_tells_no_values(json_lines: Lines) -> None:
    try:
        fail(password="do not " + "tell")
    except LookupError:
        logging.getLogger("shop").exception("can't sell")
    (line,) = json_lines()
    (exception,) = line["exception"]
    assert (exception["exc_type"], exception["exc_value"]) == ("LookupError", "no such item")
    assert [frame["name"] for frame in exception["frames"]][-1] == "fail"
    assert "do not tell" not in json.dumps(line)
    assert "exc_info" not in line


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_stack_is_told(capsys: pytest.CaptureFixture[str], form: LogFormat) -> None:
    configure(form)
    logging.getLogger("shop").warning("slow", stack_info=True)
    structlog.get_logger("shop").warning("slow", stack_info=True)
    assert capsys.readouterr().err.count("in test_a_stack_is_told") == 2


def test_at_a_terminal_lines_are_for_a_reader(capsys: pytest.CaptureFixture[str]) -> None:
    configure("console", colors=True)
    context = copy_context()
    context.run(current.set, observation())
    context.run(logging.getLogger("shop").info, "sold")
    colored = capsys.readouterr().err
    assert "\x1b[" in colored
    assert "r1" in colored
    configure("console")
    try:
        fail(password="do not " + "tell")
    except LookupError:
        context.run(logging.getLogger("shop").exception, "can't sell")
    plain = capsys.readouterr().err
    assert "[error    ] can't sell" in plain
    assert "LookupError: no such item\n" in plain
    assert "request_id=r1" in plain
    assert not any(word in plain for word in ("\x1b[", "do not tell", "trace_id", "span_id"))


FORGED = "x\r\n2026-07-02T13:46:40Z [error    ] forged\x1b[2J\x9b31m\u2028\u202e\x00\x08"


class Unprintable:
    def __repr__(self) -> str:
        return FORGED


def no_such() -> None:
    raise LookupError(FORGED)


def log_with_exception() -> None:
    try:
        no_such()
    except LookupError:
        logging.getLogger("shop").exception("can't sell")


@pytest.mark.parametrize(
    "log",
    [
        lambda: logging.getLogger("shop").warning("sold to %s", FORGED),
        lambda: logging.getLogger("shop").warning(FORGED, stack_info=True),
        lambda: logging.getLogger("shop").warning("sold", extra={"to": FORGED, FORGED: 1}),
        lambda: logging.getLogger("shop").warning("sold", extra={"to": Unprintable(), "a": [Unprintable()]}),
        lambda: logging.getLogger(FORGED).warning("sold"),
        lambda: logging.getLogger("ashapp.server").warning("stuck:\n%s", FORGED),
        lambda: structlog.get_logger("shop").warning(FORGED, to=FORGED),
        lambda: warnings.warn(FORGED, stacklevel=1),
        log_with_exception,
    ],
)
def test_at_a_terminal_a_record_is_one_and_controls_nothing(
    capsys: pytest.CaptureFixture[str], log: Callable[[], object]
) -> None:
    configure("console")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        log()
    text = capsys.readouterr().err.removesuffix("\n")
    assert "forged" in text
    lines = text.split("\n")
    assert all(line.isprintable() for line in lines)
    assert all(line.startswith("    ") for line in lines[1:])


def test_at_a_terminal_lines_of_a_message_of_ours_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure("console")
    logging.getLogger("ashapp.server").warning("stuck:\n  File")
    logging.getLogger("shop").warning("stuck:\n\tFile")
    ours, line, theirs = capsys.readouterr().err.splitlines()
    assert "stuck:" in ours
    assert line.startswith("      File")
    assert r"stuck:\n\tFile" in theirs


async def test_lines_on_loop_and_thread_have_the_ids_of_their_own_request(json_lines: Lines) -> None:
    app = Flask("shop")
    together = asyncio.Barrier(2)

    @app.before_request
    def log_before() -> None:
        app.logger.warning("before")

    @app.get("/async")
    async def async_view() -> str:
        logging.getLogger("shop.loop").info("view")
        await together.wait()
        task = asyncio.create_task(asyncio.to_thread(logging.getLogger("shop.worker").info, "task"))
        await task
        return "done"

    @app.get("/sync")
    def sync_view() -> str:
        structlog.get_logger("shop.thread").info("view")
        return "done"

    @app.teardown_request
    def log_after(error: BaseException | None) -> None:
        app.logger.warning("after")

    @app.get("/fail")
    def failing_view() -> str:
        raise LookupError("no such item")

    served = Observer(FlaskToAsgi(app))

    async def ask(path: bytes, request_id: bytes) -> Client:
        return await fetch(served, "GET", path, headers=[(b"x-request-id", request_id)])

    async with asyncio.timeout(20):
        clients = await asyncio.gather(
            ask(b"/async", b"a1"), ask(b"/async", b"a2"), ask(b"/sync", b"s1"), ask(b"/fail", b"f1")
        )
    assert [client.headers["x-request-id"] for client in clients] == ["a1", "a2", "s1", "f1"]
    lines = json_lines()

    def of(request_id: str) -> list[tuple[str, str]]:
        return [(line["logger"], line["event"]) for line in lines if line.get("request_id") == request_id]

    around = [("shop", "before"), ("shop", "after")]
    for request_id in ("a1", "a2"):
        assert of(request_id) == [around[0], ("shop.loop", "view"), ("shop.worker", "task"), around[1]]
    assert of("s1") == [around[0], ("shop.thread", "view"), around[1]]
    assert of("f1") == [around[0], ("shop", "Exception on /fail [GET]"), around[1]]
    assert len({line["trace_id"] for line in lines}) == 4
