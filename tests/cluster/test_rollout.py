# SPDX-License-Identifier: MIT
"""A rolling update under load: requests, WebSockets and streams."""

from tests.cluster import images
from tests.cluster.cluster import Cluster, succeeded
from tests.cluster.traffic import traffic

#: How many requests meet each update, at least.
REQUESTS = 20_000


def test_a_rolling_update_under_load_loses_nothing(cluster: Cluster, base: str, rounds: int) -> None:
    for number in range(1, rounds + 1):
        name = f"update-{number}"
        image = images.generation(base, name)
        before = set(cluster.pods().values())
        with traffic(cluster, f"rolling update {number}") as clients:
            result = cluster.deploy(image)
            clients.goes_on(REQUESTS)
        succeeded(result)
        assert clients.failures == []
        assert clients.answered >= REQUESTS
        sessions = clients.sessions
        assert min(sessions.messages, sessions.events, sessions.streams, sessions.departures) > 0
        assert clients.generations == {tag.partition(":")[2] for tag in before} | {name}
        assert set(cluster.pods().values()) == {image}
