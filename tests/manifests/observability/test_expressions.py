# SPDX-License-Identifier: MIT
import pytest

from tests.manifests.observability.expressions import asked


def test_metrics_with_the_labels_that_they_are_matched_and_grouped_by() -> None:
    quantile = 'histogram_quantile(0.9, sum by (pod, le) (rate(a_bucket{route!~"/x"}[5m])))'
    assert asked(f"{quantile} > 1 or sum by (check) (b offset 30m) / c") == {
        "a_bucket": {"pod", "le", "route"},
        "b": {"check"},
        "c": set(),
    }


def test_groups_within_groups() -> None:
    assert asked("sum(max by (x) (a)) + min by (y) (b)") == {"a": {"x"}, "b": {"y"}}


@pytest.mark.parametrize("expression", ["sum(", "rate(a)", "a[5m", ""])
def test_what_is_no_expression(expression: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        asked(expression)
