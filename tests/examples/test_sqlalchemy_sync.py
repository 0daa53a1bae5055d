# SPDX-License-Identifier: MIT
import asyncio
from collections import Counter

import httpx
import pytest

from tests.examples.conftest import EXAMPLES, Start, command
from tests.support.process import ServerProcess, run

# More than two workers have threads.
REQUESTS = 200


@pytest.fixture(scope="module")
def server(start: Start, database_url: str) -> ServerProcess:
    return start("sqlalchemy_sync", DATABASE_URL=database_url)


async def test_200_guests_at_once_each_have_their_own_entry(server: ServerProcess) -> None:
    limits = httpx.Limits(max_connections=REQUESTS)
    async with httpx.AsyncClient(base_url=server.base_url, limits=limits, timeout=50) as client:
        # Every tenth breaks the limit, so its session is removed with nothing done.
        texts = ["x" * 201 if number % 10 == 0 else f"text {number}" for number in range(REQUESTS)]
        answers = await asyncio.gather(
            *(client.post(f"/guests/{number % 20}", data={"text": text}) for number, text in enumerate(texts))
        )
        assert Counter(answer.status_code for answer in answers) == {201: 180, 400: 20}
        assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 180
        counts = [(await client.get(f"/guests/{number}")).json()["entries"] for number in range(20)]
        assert counts == [0 if number % 10 == 0 else 10 for number in range(20)]
        newest = (await client.get("/entries")).json()
    wrong = [entry for entry in newest if entry["guest"] != str(int(entry["text"].split()[1]) % 20)]
    assert (len(newest), wrong) == (100, [])


def test_the_migrations_make_what_the_models_say(server: ServerProcess, database_url: str) -> None:
    done = run(
        command=command("flask --app app db check"),
        cwd=EXAMPLES / "sqlalchemy_sync",
        env={"DATABASE_URL": database_url},
    )
    assert (done.returncode, "No new upgrade operations detected" in done.stderr + done.stdout) == (
        0,
        True,
    ), done
