# SPDX-License-Identifier: MIT
"""asgiref's own test suite, with the bridge in place of its ``WsgiToAsgi``."""

from collections.abc import Callable

import pytest

from tests.upstream.suite import Comparison

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def comparison(compare: Callable[..., Comparison]) -> Comparison:
    plugin = "pytest_asyncio.plugin"
    return compare("asgiref", plain=[plugin], bridged=[plugin, "harness.asgiref_replaced"])


def test_the_suite_runs_with_asgirefs_own_adapter(comparison: Comparison) -> None:
    assert len(comparison.plain.passed) >= 0.95 * len(comparison.plain.outcomes) >= 80


def test_the_tests_of_the_adapter_use_the_bridge(comparison: Comparison) -> None:
    tests = {test for test in comparison.bridged.outcomes if test.startswith("tests/test_wsgi.py")}
    assert len(tests) >= 10
    assert tests <= set(comparison.bridged.requests)


def test_what_passes_with_asgirefs_adapter_passes_with_the_bridge(comparison: Comparison) -> None:
    assert not comparison.broken, "\n\n".join(f"{test}\n{why}" for test, why in comparison.broken.items())


def test_every_exception_is_needed(comparison: Comparison) -> None:
    assert comparison.needless == []
