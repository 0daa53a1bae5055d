# SPDX-License-Identifier: MIT
"""How long the end of a service takes that has nothing to do; the last of these tests, as it measures."""

from datetime import UTC, datetime

from tests.container.engine import Container, running, until

DRAIN = 1

# The same modules, which are as much work to leave.
WAIT = """
import signal, sys, ashapp.server.runner
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
print("waiting", flush=True)
signal.pause()
"""


def seconds_to_end(container: Container) -> float:
    """Return how long a container needs to end, after a signal."""
    told = datetime.now(UTC)
    container.tell("TERM")
    assert container.wait() == 0
    return (container.finished_at() - told).total_seconds()


def idle_seconds(image: str) -> float:
    """Return how much longer than a program that only waits the service needs to end, after its drain."""
    with running(image, f"--env=ASHAPP_DRAIN_DELAY={DRAIN}") as service:
        needed = seconds_to_end(service)
    with running(image, "--entrypoint=python", command=["-c", WAIT], serves=False) as program:
        until(lambda: program.log, "it waits")
        return needed - DRAIN - seconds_to_end(program)


def test_it_ends_at_once_when_it_has_nothing_to_do(image: str) -> None:
    # The machine may have much to do: one of five counts.
    assert any(idle_seconds(image) < 1 for _ in range(5))
