# SPDX-License-Identifier: MIT
"""Flask's own test suite, every request through the bridge."""

from collections.abc import Callable

import pytest

from tests.upstream.suite import Comparison

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module", params=[[], ["harness.accelerators_off"]], ids=["accelerated", "plain"])
def comparison(request: pytest.FixtureRequest, compare: Callable[..., Comparison]) -> Comparison:
    return compare("flask", plain=["harness.plain"], bridged=["harness.through_bridge", *request.param])


def test_the_suite_runs_on_plain_wsgi(comparison: Comparison) -> None:
    assert len(comparison.plain.passed) >= 0.98 * len(comparison.plain.outcomes) >= 400


def test_every_request_goes_through_the_bridge(comparison: Comparison) -> None:
    assert len(comparison.bridged.requests) >= 200
    assert sum(comparison.bridged.requests.values()) >= 400
    assert comparison.misrouted == {}


def test_what_passes_on_plain_wsgi_passes_through_the_bridge(comparison: Comparison) -> None:
    assert not comparison.broken, "\n\n".join(f"{test}\n{why}" for test, why in comparison.broken.items())


def test_every_exception_is_needed(comparison: Comparison) -> None:
    assert comparison.needless == []


def test_there_is_at_most_one_exception_in_a_hundred(comparison: Comparison) -> None:
    assert len(comparison.exceptions) <= 0.01 * len(comparison.plain.passed)
