# SPDX-License-Identifier: MIT
"""A deployment of three pods, which each test finds ready and leaves so."""

from collections.abc import Iterator

import pytest

from tests.cluster import images
from tests.cluster.chart import Charted
from tests.cluster.cluster import Cluster, Kustomized, succeeded


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rounds", type=int, default=1, help="rolling updates, one after the other (1)")


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--rounds"))


@pytest.fixture(scope="session")
def base() -> str:
    return images.base()


@pytest.fixture(scope="session", params=[Kustomized, Charted], ids=["kustomize", "helm"])
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with the namespace and the account of the pipeline alone; both are removed at the end."""
    kind: type[Cluster] = request.param
    cluster = kind(tmp_path_factory.mktemp("cluster"))
    cluster.remove()
    cluster.prepare()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session")
def first(base: str) -> str:
    """The image that is deployed at first."""
    return images.generation(base, "first")


@pytest.fixture(scope="session")
def deployed(fresh: Cluster, first: str) -> Cluster:
    deploy(fresh, first)
    return fresh


@pytest.fixture
def cluster(deployed: Cluster, base: str, first: str) -> Cluster:
    """A deployment whose answers tell the image."""
    if base in deployed.pods().values():
        deploy(deployed, first)
    deployed.scale(3)
    return deployed


@pytest.fixture
def kustomized(cluster: Cluster) -> Kustomized:
    assert isinstance(cluster, Kustomized)
    return cluster


def deploy(cluster: Cluster, image: str) -> None:
    succeeded(cluster.deploy(image))
