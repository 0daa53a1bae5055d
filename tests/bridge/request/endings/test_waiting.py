# SPDX-License-Identifier: MIT
"""The client leaves, the time is up, the server cancels: the view is cancelled, and teardown has peace."""

import asyncio
from contextlib import nullcontext, suppress

import flask
import pytest

from tests.bridge.request.endings.service import (
    TORN_DOWN,
    Service,
    bring_about,
    by_each_cause,
    in_each_place,
    wait,
)
from tests.support.journal import Journal

pytestmark = pytest.mark.usefixtures("impatient")


@in_each_place
@by_each_cause
async def test_a_view_is_cancelled_and_torn_down_in_peace(
    service: Service, journal: Journal, cause: str
) -> None:
    """And may clean up first."""

    async def view() -> None:
        try:
            await journal.note_cancellation()
        finally:
            await asyncio.sleep(0.01)
            await asyncio.create_task(asyncio.sleep(0.01))
            journal.note("cleaned up")

    service.add_view(view, teardowns=True)
    await service.begin_and_end(cause)
    assert journal.names == ["cancelled", "cleaned up", *TORN_DOWN]
    assert all(isinstance(entry.value, asyncio.CancelledError) for entry in journal.entries[2:])
    assert [entry.on_loop for entry in journal.entries] == [True, True, True, False]


@pytest.mark.parametrize("where", ["hook", "spinning", "group"])
@by_each_cause
async def test_so_is_whatever_else_of_it_waits(
    service: Service, journal: Journal, where: str, cause: str
) -> None:
    async def view() -> str:
        if where == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(wait())
        while True:  # noqa: ASYNC110 - spins
            await asyncio.sleep(0)

    service.add_teardowns()
    if where == "hook":

        @service.app.before_request
        async def before() -> None:
            if flask.request.path == "/":
                service.started.set()
                await wait()

    service.add_view(view)
    await service.begin_and_end(cause)
    assert journal.names == TORN_DOWN


@pytest.mark.parametrize("answers", [True, False])
async def test_a_view_may_answer_to_nobody_or_raise_another_error(
    service: Service, journal: Journal, caplog: pytest.LogCaptureFixture, *, answers: bool
) -> None:
    async def view() -> str:
        with suppress(asyncio.CancelledError):
            await wait()
        if not answers:
            raise LookupError
        await asyncio.sleep(0.01)
        return "to nobody"

    service.add_view(view, teardowns=True)
    request = service.begin()
    await service.end(request, "disconnect")
    assert journal.names == TORN_DOWN
    assert isinstance(journal["sync teardown"].value, LookupError) or answers
    told = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert told == ([] if answers else [LookupError])


@pytest.mark.parametrize("cause", ["disconnect", "time-out"])
async def test_a_teardown_that_fails_is_told_to_the_server_or_logged(
    service: Service, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    @service.app.teardown_request
    def teardown(error: BaseException | None) -> None:
        raise ZeroDivisionError

    service.add_view(wait)
    request = service.begin(cause)
    await bring_about(request, cause)
    # Flask 3.2 gathers what teardowns raise in a group.
    kinds = (ZeroDivisionError, ExceptionGroup)
    with pytest.raises(kinds) if cause == "disconnect" else nullcontext():
        await request.end()
    told = [isinstance(record.exc_info[1], kinds) for record in caplog.records if record.exc_info]
    assert told == ([] if cause == "disconnect" else [True])
