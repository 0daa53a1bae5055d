# SPDX-License-Identifier: MIT
import pytest

from tests.manifests.objects import Objects, quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [("250m", 0.25), ("1", 1), (2, 2), ("1.5", 1.5), ("192Mi", 192 << 20), ("1Gi", 1 << 30)],
)
def test_quantities(text: str | int, number: float) -> None:
    assert quantity(text) == number


@pytest.mark.parametrize("text", ["", "m", "-1", "1 Gi"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(AssertionError, match="is no quantity"):
        quantity(text)


def test_an_object_that_is_missing_or_there_twice_is_told() -> None:
    two = Objects.read("{kind: A, metadata: {name: x}}\n---\n{kind: A, metadata: {name: y}}\n")
    assert two.one("A", "y") == {"kind": "A", "metadata": {"name": "y"}}
    with pytest.raises(AssertionError, match="2 objects of kind A"):
        two.one("A")
    with pytest.raises(AssertionError, match="0 objects of kind B"):
        two.one("B")
