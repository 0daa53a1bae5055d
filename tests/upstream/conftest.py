# SPDX-License-Identifier: MIT
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.upstream.source_package import unpack_source
from tests.upstream.suite import Comparison, run_suite

_COMPARISONS = pytest.StashKey[list[Comparison]]()


@pytest.fixture(scope="session")
def compare(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Comparison]:
    """Run the suite of an installed distribution on plain WSGI and through the bridge."""
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("upstream")
    exceptions = tomllib.loads(Path(__file__).with_name("exceptions.toml").read_text(encoding="utf-8"))

    def compare(distribution: str, *, plain: list[str], bridged: list[str]) -> Comparison:
        folder = tmp_path_factory.mktemp(distribution)
        source = unpack_source(distribution, cache, folder)
        comparison = Comparison(
            f"{distribution} {version(distribution)}",
            run_suite(source, folder / "plain.json", *plain),
            run_suite(source, folder / "bridged.json", *bridged),
            exceptions[distribution],
        )
        pytestconfig.stash.setdefault(_COMPARISONS, []).append(comparison)
        return comparison

    return compare


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for comparison in config.stash.get(_COMPARISONS, []):
        terminalreporter.write_line(str(comparison))
        for test in sorted(set(comparison.plain.outcomes) - comparison.plain.passed):
            outcome = comparison.plain.outcomes[test]
            terminalreporter.write_line(f"    {outcome} on plain WSGI as well: {test}")
