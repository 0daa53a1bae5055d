# SPDX-License-Identifier: MIT
import asyncio
from contextlib import nullcontext

import pytest

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.server.health.state import Health, Phase
from ashapp.server.middleware.front import Front
from tests.support.asgi import Client, http_scope


@pytest.mark.parametrize(
    ("phase", "status"), [(Phase.RUNNING, None), (Phase.DRAINING, None), (Phase.STOPPING, 503)]
)
async def test_who_is_cancelled_is_told_of_the_end_only_where_the_service_ends(
    phase: Phase, status: int | None
) -> None:
    """While it serves, the server cancels no request: a view that cancels itself has failed."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    client = Client()
    front = Front(app, Health(phase), {})
    with pytest.raises(asyncio.CancelledError) if status is None else nullcontext():
        await asyncio.create_task(front(http_scope(), client.receive, client.send))  # type: ignore[arg-type]
    assert [message["status"] for message in client.sent[:1]] == [status] * (status is not None)
