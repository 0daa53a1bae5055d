# SPDX-License-Identifier: MIT
"""More bodies at once than the memory of the container can hold: nothing is killed, and others go on."""

from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.container.engine import running

SCARCE = ("--memory=160m", "--memory-swap=160m")
# Each becomes six times as long in the response, and that is there several times.
BODY = bytes(1_000_000)
COUNT = 40


def test_bodies_wait_for_memory_and_small_requests_for_nothing(image: str) -> None:
    with running(image, *SCARCE) as container, ThreadPoolExecutor(COUNT) as pool:
        url = container.url()

        def post(body: bytes) -> int:
            return httpx.post(f"{url}/echo", content=body, trust_env=False, timeout=120).status_code

        large = [pool.submit(post, BODY) for _ in range(COUNT)]
        while not all(request.done() for request in large):
            assert post(b"small") == 200
            assert httpx.get(f"{url}/livez", trust_env=False, timeout=60).status_code == 200
        assert [request.result() for request in large] == [200] * COUNT
        assert container.state["Running"]
        assert not container.state["OOMKilled"]
        assert '"level": "error"' not in container.log
