# SPDX-License-Identifier: MIT
"""Images that are no good: nobody is served by them, and nobody has to repair anything."""

import pytest

from tests.cluster import images
from tests.cluster.cluster import Cluster
from tests.cluster.traffic import traffic


@pytest.mark.parametrize(
    ("name", "application"),
    [("broken", "missing:app"), ("unready", "application:app")],
    ids=["does not start", "is never ready"],
)
def test_a_broken_image_takes_no_traffic_and_is_undone(
    cluster: Cluster, base: str, name: str, application: str
) -> None:
    image = images.generation(base, name, application)
    before = cluster.pods()
    with traffic(cluster, f"an image that is {name}") as clients:
        result = cluster.deploy(image)
        clients.goes_on(clients.answered + 1000)
    assert result.returncode != 0, result.stdout
    assert clients.failures == []
    assert clients.generations == {tag.partition(":")[2] for tag in before.values()}
    assert cluster.pods() == before
