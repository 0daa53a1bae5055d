# SPDX-License-Identifier: MIT
"""A rolling update under load."""

from tests.cluster import images
from tests.cluster.cluster import Cluster
from tests.cluster.traffic import traffic

#: How many requests meet each update, at least.
REQUESTS = 20_000


def test_a_rolling_update_under_load_loses_no_request(cluster: Cluster, base: str, rounds: int) -> None:
    for number in range(1, rounds + 1):
        name = f"update-{number}"
        image = images.generation(base, name)
        before = set(cluster.pods().values())
        with traffic(cluster, f"rolling update {number}") as clients:
            result = cluster.deploy(image)
            clients.goes_on(REQUESTS)
        assert result.returncode == 0, result.stdout + result.stderr
        assert clients.failures == []
        assert clients.answered >= REQUESTS
        assert clients.generations == {tag.partition(":")[2] for tag in before} | {name}
        assert set(cluster.pods().values()) == {image}
