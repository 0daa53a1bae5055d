# SPDX-License-Identifier: MIT
"""Flask's own test suite, every request through the bridge; asgiref's, with it for ``WsgiToAsgi``."""

from collections.abc import Callable

import pytest

from tests.upstream.suite import Comparison

pytestmark = pytest.mark.timeout(240)

PLUGIN = "pytest_asyncio.plugin"
THROUGH = "harness.through_bridge"
# The project, the plugins without and with the bridge, and how many tests there are at least.
SUITES = {
    "flask": ("flask", ["harness.plain"], [THROUGH], 400),
    "flask, plain": ("flask", ["harness.plain"], [THROUGH, "harness.accelerators_off"], 400),
    "asgiref": ("asgiref", [PLUGIN], [PLUGIN, "harness.asgiref_replaced"], 80),
}


@pytest.fixture(scope="module", params=SUITES)
def comparison(request: pytest.FixtureRequest, compare: Callable[..., Comparison]) -> Comparison:
    project, plain, bridged, tests = SUITES[request.param]
    comparison = compare(project, plain=plain, bridged=bridged)
    assert len(comparison.plain.passed) >= 0.95 * len(comparison.plain.outcomes) >= tests
    return comparison


def test_every_request_goes_through_the_bridge(comparison: Comparison) -> None:
    requests = comparison.bridged.requests
    if comparison.name.startswith("flask"):
        assert len(requests) >= 200
        assert sum(requests.values()) >= 400
        assert comparison.misrouted == {}
    else:
        tests = {test for test in comparison.bridged.outcomes if test.startswith("tests/test_wsgi.py")}
        assert len(tests) >= 10
        assert tests <= set(requests)


def test_what_passes_without_the_bridge_passes_through_it(comparison: Comparison) -> None:
    assert not comparison.broken, "\n\n".join(f"{test}\n{why}" for test, why in comparison.broken.items())


def test_every_exception_is_needed_and_flask_has_few(comparison: Comparison) -> None:
    assert comparison.needless == []
    if comparison.name.startswith("flask"):
        assert len(comparison.exceptions) <= 0.01 * len(comparison.plain.passed)
