# SPDX-License-Identifier: MIT
import pytest

from ashapp.server.health import Health, Phase


@pytest.mark.parametrize(
    ("phase", "reason"),
    [(Phase.STARTING, "starting"), (Phase.RUNNING, None), (Phase.STOPPING, "stopping")],
)
def test_a_worker_is_ready_between_startup_and_shutdown_and_always_alive(
    phase: Phase, reason: str | None
) -> None:
    health = Health(phase)
    assert health.readiness() == reason
    assert health.liveness() is None


def test_a_worker_begins_by_starting() -> None:
    assert Health().phase is Phase.STARTING
