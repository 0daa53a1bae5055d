# SPDX-License-Identifier: MIT
import pytest

from ashapp.server.health.state import Health, Phase


@pytest.mark.parametrize(
    ("phase", "reason"),
    [
        (Phase.STARTING, "starting"),
        (Phase.RUNNING, None),
        (Phase.DRAINING, "draining"),
        (Phase.STOPPING, "stopping"),
    ],
)
def test_a_worker_is_ready_between_startup_and_its_end_and_always_alive(
    phase: Phase, reason: str | None
) -> None:
    health = Health(phase)
    assert health.readiness() == reason
    assert health.liveness() is None


def test_a_running_worker_is_ready_under_its_conditions_and_the_first_reason_is_told() -> None:
    health = Health(Phase.RUNNING, [lambda: None, lambda: "saturated", lambda: "no database"])
    assert health.readiness() == "saturated"
    assert health.liveness() is None
    health.phase = Phase.DRAINING
    assert health.readiness() == "draining"
