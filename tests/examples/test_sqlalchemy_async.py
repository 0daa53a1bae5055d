# SPDX-License-Identifier: MIT
import asyncio
import random
from collections import Counter

import httpx
import pytest

from tests.examples.conftest import Start
from tests.support.process import ServerProcess

# More than a worker has threads, and more than both have connections to the database.
REQUESTS = 200


@pytest.fixture(scope="module")
def server(start: Start, database_url: str) -> ServerProcess:
    return start("sqlalchemy_async", DATABASE_URL=database_url)


async def test_200_payments_at_once_are_right_and_complete(server: ServerProcess) -> None:
    chance = random.Random(7)
    orders = [(*chance.sample((1, 2, 3), 2), chance.randint(1, 400)) for _ in range(REQUESTS)]
    limits = httpx.Limits(max_connections=REQUESTS)
    async with httpx.AsyncClient(base_url=server.base_url, limits=limits, timeout=50) as client:
        paths = ("/accounts/{}/pay/{}/{}".format(*order) for order in orders)
        answers = await asyncio.gather(*map(client.post, paths))
        balances = (await client.get("/accounts")).json()
        payments = (await client.get("/payments")).json()
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses.keys() == {201, 409}, statuses
    expected = {"1": 1000, "2": 1000, "3": 1000}
    for (payer, payee, amount), answer in zip(orders, answers, strict=True):
        if answer.status_code == 201:
            expected[str(payer)] -= amount
            expected[str(payee)] += amount
    assert balances == expected
    assert payments == {"count": statuses[201]}


def test_an_account_that_is_not_there(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.base_url) as client:
        before = client.get("/payments").json()
        answer = client.post("/accounts/1/pay/9/1")
        assert (answer.status_code, answer.json()) == (404, {"error": "there is no account 9"})
        assert client.get("/payments").json() == before
