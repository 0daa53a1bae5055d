# SPDX-License-Identifier: MIT
import asyncio

from ashapp.bridge.concurrency.futures import resolve


async def test_resolve() -> None:
    future = asyncio.get_running_loop().create_future()
    resolve(future)
    await future
    resolve(future)


async def test_a_cancelled_future_stays_cancelled() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    resolve(future)
    assert future.cancelled()
