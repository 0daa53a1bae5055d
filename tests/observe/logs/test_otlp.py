# SPDX-License-Identifier: MIT
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from ashapp.observe.logs.otlp import LogsExport
from ashapp.observe.observation import Observation, current
from tests.support.asgi import http_scope
from tests.support.services.collector import Collector


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector().running() as collector:
        yield collector


@pytest.fixture
def export(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogsExport]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    export = LogsExport({})
    logging.getLogger("shop").addHandler(export)
    yield export
    logging.getLogger("shop").removeHandler(export)


@pytest.fixture
def observation() -> Observation:
    async def send(message: Any) -> None:
        raise AssertionError("nothing is sent")

    return Observation(http_scope("GET"), send, lambda _: None)


def sent(export: LogsExport, collector: Collector) -> list[tuple[str, LogRecord]]:
    export.finish()
    return collector.log_records


def attributes(record: LogRecord) -> dict[str, Any]:
    def value(each: KeyValue) -> Any:
        return getattr(each.value, str(each.value.WhichOneof("value")))

    return {each.key: value(each) for each in record.attributes}


def test_a_record_has_its_level_its_place_and_its_error(export: LogsExport, collector: Collector) -> None:
    log = logging.getLogger("shop")
    log.error("Order %d failed", 7, exc_info=LookupError("no tea"))
    export.emit(logging.LogRecord("shop", logging.INFO, __file__, 1, "%d", ("not a number",), None))
    log.warning({"event": "from structlog", "item": "tea"})
    logging.getLogger("shop.opentelemetry").warning("of the shop")
    (failed, odd, structured, last) = sent(export, collector)
    assert (failed[0], failed[1].body.string_value) == ("shop", "Order 7 failed")
    assert (failed[1].severity_number, failed[1].severity_text) == (17, "ERROR")
    found = attributes(failed[1])
    assert (found["exception.type"], found["exception.message"]) == ("LookupError", "no tea")
    assert found["code.file.path"] == __file__
    assert "LookupError: no tea" in found["exception.stacktrace"]
    bodies = [record.body.string_value for _, record in (odd, structured, last)]
    assert bodies == ["%d", "from structlog", "of the shop"]


def test_a_record_of_a_request_has_its_trace(
    export: LogsExport, collector: Collector, observation: Observation
) -> None:
    token = current.set(observation)
    logging.getLogger("shop").warning("in a request")
    current.reset(token)
    observation.status, observation.route, observation.place = 200, "/tea", "loop"
    export(observation)
    (inside, access) = sent(export, collector)
    for _, record in (inside, access):
        assert record.trace_id.hex() == observation.trace_id
        assert record.span_id.hex() == observation.span_id
    assert (access[0], access[1].body.string_value) == ("ashapp.access", "request")
    found = attributes(access[1])
    assert (found["http.route"], found["http.response.status_code"]) == ("/tea", 200)


def test_what_tells_of_the_sending_is_not_sent(export: LogsExport, collector: Collector) -> None:
    record = logging.LogRecord("opentelemetry.sdk", logging.ERROR, __file__, 1, "lost", None, None)
    export.emit(record)
    assert sent(export, collector) == []
