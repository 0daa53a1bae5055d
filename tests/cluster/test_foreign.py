# SPDX-License-Identifier: MIT
"""An application that is not ours, httpbin, on the project's image and by its chart."""

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.cluster import images
from tests.cluster.chart import Charted
from tests.cluster.cluster import Kustomized, succeeded
from tests.support.network.load import Load

#: It deploys beside the base, whose namespace it shares.
pytestmark = pytest.mark.parametrize("fresh", [Kustomized], ids=["kustomize"], indirect=True)

RELEASE = "httpbin"
GET = b"GET /get HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def chart(fresh: Kustomized) -> Iterator[Charted]:
    chart = Charted(fresh.folder, RELEASE)
    yield chart
    chart.helm("uninstall", RELEASE, "--wait")


def answer(chart: Charted, path: str) -> Any:
    with closing(HTTPConnection(*chart.address, timeout=20)) as client:
        client.request("GET", path)
        response = client.getresponse()
        assert response.status == 200
        text = response.read()
        return json.loads(text.splitlines()[-1] if path.startswith("/stream/") else text)


def test_it_is_updated_and_rolled_back_without_a_lost_request(chart: Charted, base: str) -> None:
    image = images.foreign(base)
    succeeded(chart.upgrade(image, app="httpbin:app"))
    assert answer(chart, "/anything/shop?a=1")["args"] == {"a": "1"}
    assert answer(chart, "/stream/20")["id"] == 19
    first = chart.pods()
    with Load(chart.address, 16, GET, pause=0.05) as clients:
        succeeded(chart.upgrade(image, app="httpbin:app", settings={"ASHAPP_THREADS": 8}))
        chart.rollout_status()
        second = chart.pods()
        succeeded(chart.helm("rollback", RELEASE, "--wait", "--timeout", "120s"))
        chart.rollout_status()
        clients.goes_on(500)
    assert clients.failures == []
    assert len(first) == len(second) == len(chart.pods()) == 3
    assert not first.keys() & second.keys()
