# SPDX-License-Identifier: MIT
import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial

import pytest

from ashapp import readiness_check
from ashapp.server.health.readiness import registered_checks
from ashapp.server.health.readiness_runner import Checker
from ashapp.server.security.redaction import redact
from tests.support.waiting import PATIENCE, eventually, until

pytestmark = pytest.mark.usefixtures("no_checks")


@asynccontextmanager
async def checking(checker: Checker | None = None) -> AsyncIterator[Checker]:
    checker = checker or Checker(3600)
    async with asyncio.timeout(PATIENCE):
        await checker.start()
        try:
            yield checker
        finally:
            await checker.stop()


async def test_a_sync_check_runs_on_a_thread_in_a_context_and_an_async_one_on_the_loop() -> None:
    threads: dict[str, str] = {}

    @readiness_check("sync")
    def sync() -> None:
        threads["sync"] = threading.current_thread().name

    @readiness_check("async")
    async def asynchronous() -> None:
        asyncio.get_running_loop()
        threads["async"] = threading.current_thread().name

    @contextmanager
    def context() -> Iterator[None]:
        entered.append(threading.current_thread().name)
        yield
        entered.append("left")

    entered: list[str] = []
    readiness_check("partial")(partial(asynchronous))
    before = time.time()
    async with checking(Checker(3600, context)) as checker:
        assert threads == {"sync": "ashapp-check-sync", "async": threading.current_thread().name}
        assert entered == ["ashapp-check-sync", "left"]
        assert checker.failure() is None
        assert {name: outcome.error for name, outcome in checker.outcomes.items()} == dict.fromkeys(
            ("sync", "async", "partial")
        )
        for outcome in checker.outcomes.values():
            assert 0 <= outcome.duration < PATIENCE
            assert before - 1 < outcome.time < time.time() + 1


def refuse() -> None:
    raise ConnectionRefusedError("port 5432")


async def refuse_async() -> None:
    raise ConnectionRefusedError("port 5432")


async def give_up() -> None:
    raise asyncio.CancelledError


async def stop_iterating() -> None:
    raise SystemExit(1)


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (refuse, "ConnectionRefusedError: port 5432 ("),
        (refuse_async, "ConnectionRefusedError: port 5432 ("),
        (lambda: False, "ValueError: it returned False"),
        (partial(next, iter(())), "StopIteration"),
        (partial(exit, 3), "SystemExit: 3"),
        (stop_iterating, "SystemExit: 1"),
        (give_up, "CancelledError"),
    ],
)
async def test_a_check_fails_by_raising_or_by_returning_false(
    function: Callable[[], object], error: str
) -> None:
    readiness_check("database")(function)
    readiness_check("cache")(lambda: None)
    readiness_check("broker")(refuse)
    async with checking() as checker:
        assert checker.failure() == "readiness checks failed: broker, database"
        assert checker.outcomes["cache"].error is None
        text = checker.outcomes["database"].error
        assert text is not None
        assert text.startswith(error)


@pytest.mark.parametrize(("clean", "told"), [(redact, "at db://***@host"), (str, "at db://me:pa55@host")])
async def test_secrets_in_an_error_are_neither_shown_nor_logged_unless_that_is_asked_for(
    clean: Callable[[str], str], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    @readiness_check("database")
    def refuse_with_secret() -> None:
        raise ConnectionRefusedError("at db://me:pa55@host")

    async with checking(Checker(3600, clean=clean)) as checker:
        error = checker.outcomes["database"].error
        assert error is not None
        assert error.startswith(f"ConnectionRefusedError: {told} (")
        (logged,) = caplog.messages
        assert logged == f"Readiness check database fails: {error}"


async def test_any_other_result_is_a_pass() -> None:
    for number, result in enumerate([None, True, 0, "", "no"]):
        readiness_check(f"check {number}")(lambda result=result: result)
    async with checking() as checker:
        assert (checker.failure(), len(checker.outcomes)) == (None, 5)


async def test_a_check_that_hangs_fails_in_its_time_and_is_not_run_twice_at_once() -> None:
    hanging, started = threading.Event(), []

    @readiness_check("sync", timeout=0.01)
    def sync() -> None:
        started.append("sync")
        hanging.wait(PATIENCE)

    @readiness_check("stubborn", timeout=0.01)
    async def stubborn() -> None:
        started.append("stubborn")
        while not hanging.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    async with checking(Checker(0.01)) as checker:

        def errors() -> set[str | None]:
            return {outcome.error for outcome in checker.outcomes.values()}

        assert checker.failure() == "readiness checks failed: stubborn, sync"
        await eventually(
            lambda: errors() == {"TimeoutError: no answer within 0.01 s; its last run goes on still"}
        )
        assert sorted(started) == ["stubborn", "sync"]
        hanging.set()
        await eventually(lambda: checker.failure() is None)
    assert len(started) > 2


async def test_one_that_hangs_delays_neither_the_others_nor_the_startup() -> None:
    async with asyncio.timeout(PATIENCE):

        @readiness_check("hanging", timeout=2 * PATIENCE)
        async def hanging() -> None:
            await asyncio.Event().wait()

        readiness_check("quick")(lambda: None)
        async with checking() as checker:
            assert checker.failure() == "readiness not checked yet: hanging"
            assert list(checker.outcomes) == ["quick"]


async def test_what_a_thread_finds_after_its_time_or_after_the_end_is_dropped() -> None:
    go, done = threading.Event(), threading.Event()

    @readiness_check("late", timeout=0.01)
    def late() -> None:
        go.wait(PATIENCE)
        done.set()

    async with checking() as checker:
        assert checker.failure() is not None
    go.set()
    until(done.is_set)
    assert checker.failure() == "readiness checks failed: late"


async def test_only_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ashapp")
    errors = deque([None, OSError("1"), OSError("2"), ValueError("3"), None, None, OSError("4")])
    ended = asyncio.Event()

    @readiness_check("database")
    async def database() -> None:
        if not errors:
            ended.set()
            await asyncio.Event().wait()
        error = errors.popleft()
        if error is not None:
            raise error

    async with checking(Checker(0.001)):
        await ended.wait()
    messages = [record.getMessage().partition(" (")[0] for record in caplog.records]
    assert messages == [
        "Readiness check database fails: OSError: 1",
        "Readiness check database fails: ValueError: 3",
        "Readiness check database passes again",
        "Readiness check database fails: OSError: 4",
    ]


async def test_no_check_runs_after_the_end() -> None:
    runs: list[int] = []
    readiness_check("database")(lambda: runs.append(1))
    async with checking(Checker(0.001)):
        await eventually(lambda: len(runs) > 2)
    count = len(runs)
    await asyncio.sleep(0.02)
    assert len(runs) <= count + 1


# -- the registry


def test_a_decorated_function_stays_what_it_is_and_the_last_of_a_name_counts() -> None:
    before = registered_checks()

    @readiness_check("database", timeout=0.5)
    def database() -> bool:
        return True

    assert database()
    readiness_check("cache")(list)
    readiness_check("cache")(dict)
    found = [(check.name, check.function, check.timeout) for check in registered_checks().values()]
    assert found == [("database", database, 0.5), ("cache", dict, 2)]
    assert dict(before) == {}


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_check_must_have_a_name_and_some_time(timeout: float) -> None:
    with pytest.raises(ValueError, match="'database': timeout must be positive, not"):
        readiness_check("database", timeout=timeout)
    with pytest.raises(ValueError, match="needs a name"):
        readiness_check("")
    assert dict(registered_checks()) == {}
