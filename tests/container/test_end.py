# SPDX-License-Identifier: MIT
"""How a container ends: when it is told to, and when it must not."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from tests.container.engine import Container, running, until

DRAIN = 1


def get(container: Container, path: str) -> httpx.Response:
    return httpx.get(f"{container.url()}{path}", trust_env=False, timeout=30)


def active(container: Container) -> bool:
    metrics = httpx.get(f"{container.url(5001)}/metrics", trust_env=False).text
    return "http_server_active_requests 1.0" in metrics


def test_a_slow_request_is_answered_after_sigterm(image: str) -> None:
    with running(image, f"--env=ASHAPP_DRAIN_DELAY={DRAIN}") as container, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(get, container, "/delay/5")
        until(lambda: active(container), "the request has begun")
        container.tell("TERM")
        assert not slow.done()
        assert slow.result().json() == {"seconds": 5.0}
        assert container.wait() == 0
        assert "Traceback" not in container.log


def test_a_signal_right_after_the_start_is_not_lost(image: str) -> None:
    for signal in ("TERM", "INT") * 5:
        with running(image, "--env=ASHAPP_DRAIN_DELAY=0", serves=False) as container:
            container.tell(signal)
            assert container.wait() in {0, 128 + 2, 128 + 15}


def test_it_is_healthy_and_says_when_it_is_not(image: str) -> None:
    often = ("--health-interval=1s", "--health-retries=1", "--health-start-period=1s")
    with running(image, *often) as container:
        until(lambda: container.state["Health"]["Status"] == "healthy", "it is healthy")
    with running(image, *often, command=["--livez-path", "/other"], serves=False) as container:
        until(lambda: container.state["Health"]["Status"] == "unhealthy", "it is unhealthy")


@pytest.mark.parametrize(("failure", "code"), [("crash", 128 + 11), ("hoard", 128 + 9)])
def test_one_that_fails_is_started_again(shop: str, failure: str, code: int) -> None:
    with running(shop, "--restart=on-failure") as container:
        with suppress(httpx.TransportError):
            httpx.post(f"{container.url()}/{failure}", trust_env=False, timeout=60)
        until(lambda: container.restarts == 1, "it is started again")
        container.wait_until_serving()
        assert get(container, "/").status_code == 200
    with running(shop) as container:
        with suppress(httpx.TransportError):
            httpx.post(f"{container.url()}/{failure}", trust_env=False, timeout=60)
        assert container.wait() == code


def test_a_wrong_setting_is_told_in_one_line(image: str) -> None:
    with running(image, "--env=ASHAPP_THREADS=many", serves=False) as container:
        assert container.wait() == 2
        assert container.log.startswith("Error: threads = 'many' (ASHAPP_THREADS): ")
        assert container.log.count("\n") == 1
