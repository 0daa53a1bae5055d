# SPDX-License-Identifier: MIT
"""The times of the pod, of its probes and of the settings, added up."""

from typing import Any

from ashapp.server.settings import Settings
from ashapp.server.settings.lifecycle import LONE_STALL_TIMEOUT, STALL_TIMEOUT
from tests.manifests.objects import Objects

# Seconds that a process which has done with its work takes to end, and a kubelet to see it.
MARGIN = 3


def pre_stop(objects: Objects) -> int:
    seconds: int = objects.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    return seconds


def noticed(probe: dict[str, Any]) -> int:
    """Return the seconds until a failure has consequences, where each probe is answered at once."""
    seconds: int = probe["periodSeconds"] * probe["failureThreshold"]
    return seconds


def drain_delay(settings: Settings) -> float:
    assert settings.drain_delay is not None, "what the manifests count on, they say"
    return settings.drain_delay


def test_the_probes_are_those_of_the_service(objects: Objects, settings: Settings) -> None:
    paths = {
        "startupProbe": settings.livez_path,
        "readinessProbe": settings.readyz_path,
        "livenessProbe": settings.livez_path,
    }
    for name, path in paths.items():
        assert objects.container[name]["httpGet"] == {"path": path, "port": "http"}


def test_a_stop_has_the_time_that_it_needs(objects: Objects, settings: Settings) -> None:
    stop = (
        pre_stop(objects)
        + drain_delay(settings)
        + settings.timeout_graceful_shutdown
        + settings.timeout_lifespan_shutdown
    )
    assert stop + MARGIN <= objects.pod["terminationGracePeriodSeconds"]


def test_the_service_knows_the_time_that_it_has(objects: Objects, settings: Settings) -> None:
    grace = objects.pod["terminationGracePeriodSeconds"]
    assert settings.termination_grace_period == grace - pre_stop(objects)


def test_not_ready_is_noticed_before_the_listeners_close(objects: Objects, settings: Settings) -> None:
    assert noticed(objects.container["readinessProbe"]) <= drain_delay(settings)


def test_a_new_pod_that_fails_at_once_takes_no_place(objects: Objects) -> None:
    # It is available only once it has been ready for longer than a failure takes to be noticed.
    min_ready = objects.one("Deployment")["spec"]["minReadySeconds"]
    assert noticed(objects.container["readinessProbe"]) <= min_ready


def test_a_start_may_take_as_long_as_the_service_allows(objects: Objects, settings: Settings) -> None:
    startup = noticed(objects.container["startupProbe"])
    assert startup >= settings.timeout_worker_startup
    deadline = objects.one("Deployment")["spec"]["progressDeadlineSeconds"]
    assert startup + objects.one("Deployment")["spec"]["minReadySeconds"] < deadline


def test_the_service_replaces_a_stalled_worker_before_the_kubelet_does(
    objects: Objects, settings: Settings
) -> None:
    stalled = settings.stall_timeout
    if stalled is None:
        stalled = STALL_TIMEOUT if settings.supervisor else LONE_STALL_TIMEOUT
    assert stalled < noticed(objects.container["livenessProbe"])
