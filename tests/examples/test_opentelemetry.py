# SPDX-License-Identifier: MIT
import asyncio
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.examples.conftest import EXAMPLES, example
from tests.support.services.collector import Collector
from tests.support.services.programs import program

FOLDER = EXAMPLES / "opentelemetry"
# More than there are threads.
REQUESTS = 60


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def attribute(span: Span, key: str) -> str:
    (value,) = (each.value for each in span.attributes if each.key == key)
    return value.string_value or str(value.int_value)


async def ask(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=50) as client:
        paths = [f"/{kind}/{number}" for number in range(REQUESTS) for kind in ("orders", "invoices")]
        answers = await asyncio.gather(*map(client.get, paths))
    assert {answer.status_code for answer in answers} == {200}


def test_each_span_is_below_that_of_its_own_request() -> None:
    with (
        Collector().running() as collector,
        example("opentelemetry", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as server,
    ):
        asyncio.run(ask(server.base_url))
        assert server.stop() == 0
    assert collector.metrics
    assert {service for service, _ in collector.recorded} == {"shop"}
    spans = {span.span_id: span for _, span in collector.recorded}
    found = sorted(
        f"{span.name} of {attribute(parent, 'url.path')}, {attribute(span, 'shop.number')}"
        for span in spans.values()
        if (parent := spans.get(span.parent_span_id))
    )
    assert found == sorted(
        f"{name} of /{kind}/{number}, {number}"
        for number in range(REQUESTS)
        for name, kind in (("find lines", "orders"), ("find customer", "orders"), ("draw", "invoices"))
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = read("compose.yaml")["services"]
    return found


def mounted(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for volume in service.get("volumes", ()):
        source, target, mode = volume.split(":")
        assert mode == "ro"
        yield source, target


def test_what_compose_mounts_and_names_is_there(services: dict[str, Any]) -> None:
    for service in services.values():
        for source, _ in mounted(service):
            assert (FOLDER / source).is_file(), source
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")
    hosts = {
        *(
            source["url"].split("/")[2].split(":")[0]
            for source in read("grafana/datasources.yaml")["datasources"]
        ),
        read("collector.yaml")["exporters"]["otlp/jaeger"]["endpoint"].split(":")[0],
        services["shop"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"].split("/")[2].split(":")[0],
    }
    assert hosts <= services.keys()


def test_grafana_finds_the_dashboard_and_the_dashboard_its_labels(services: dict[str, Any]) -> None:
    (provider,) = read("grafana/dashboards.yaml")["providers"]
    (dashboard,) = (source for source, _ in mounted(services["grafana"]) if source.endswith("dashboard.json"))
    assert (dashboard, f"{provider['options']['path']}/ashapp.json") in mounted(services["grafana"])
    (scraped,) = read("prometheus.yaml")["scrape_configs"][0]["static_configs"]
    assert scraped["targets"] == ["shop:5001"]
    variables = json.loads((FOLDER / dashboard).read_text(encoding="utf-8"))["templating"]["list"]
    labels = {variable["name"] for variable in variables if variable["type"] == "query"}
    assert labels <= scraped["labels"].keys()


def test_prometheus_takes_its_configuration(services: dict[str, Any]) -> None:
    assert "/etc/prometheus/rules.yaml" in dict(mounted(services["prometheus"])).values()
    promtool = program("promtool", "prometheus")
    command = [promtool, "check", "config", "--syntax-only", str(FOLDER / "prometheus.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
