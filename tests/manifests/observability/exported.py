# SPDX-License-Identifier: MIT
"""What the service exports, as its management port tells, and what others export about it."""

import time
from collections.abc import Iterable, Mapping

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.process import ServerProcess

__all__ = ["FOREIGN", "TARGET_LABELS", "scrape", "series"]

#: Labels that Prometheus adds to what it scrapes: whose it is.
TARGET_LABELS = frozenset({"namespace", "pod"})

#: What cAdvisor and kube-state-metrics export, with the labels that are used here.
FOREIGN: Mapping[str, frozenset[str]] = {
    name: TARGET_LABELS | {"container"}
    for name in (
        "container_cpu_usage_seconds_total",
        "container_memory_working_set_bytes",
        "kube_pod_container_status_restarts_total",
    )
}

_SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "summary": ("", "_count", "_sum"),
}


def scrape(server: ServerProcess, until: str, timeout: float = 30) -> dict[str, set[str]]:
    """Return the names of the series of a service, each with its labels, when *until* has one."""
    url = server.management_url
    deadline = time.monotonic() + timeout
    while True:
        text = httpx.get(f"{url}/metrics", timeout=timeout).raise_for_status().text
        found = series(text_string_to_metric_families(text))
        if found.get(until):
            return found
        assert time.monotonic() < deadline, f"{until} has no sample:\n{text}"
        time.sleep(0.1)


def series(families: Iterable[Metric]) -> dict[str, set[str]]:
    """Return the names of the series in *families*, each with its labels: none where there is no sample."""
    found: dict[str, set[str]] = {}
    for family in families:
        for suffix in _SUFFIXES.get(family.type, ("",)):
            found.setdefault(family.name + suffix, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found
