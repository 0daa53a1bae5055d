# SPDX-License-Identifier: MIT
"""What a PromQL expression asks for."""

from collections import defaultdict

import promql_parser as promql

__all__ = ["asked"]


def asked(expression: str) -> dict[str, set[str]]:
    """Return the names of the metrics in an expression, each with the labels it is matched and grouped by.

    Raises ``ValueError`` for what is no PromQL.
    """
    names: dict[str, set[str]] = defaultdict(set)
    groups: list[list[str]] = []

    def enter(node: promql.Expr) -> None:
        if isinstance(node, promql.AggregateExpr):
            groups.append(node.modifier.labels if node.modifier else [])
        elif isinstance(node, promql.VectorSelector):
            assert node.name, f"{node.prettify()} names no metric"
            names[node.name].update(matcher.name for matcher in node.matchers.matchers)
            names[node.name].update(label for labels in groups for label in labels)

    def leave(node: promql.Expr) -> None:
        if isinstance(node, promql.AggregateExpr):
            groups.pop()

    promql.walk(promql.parse(expression), enter, leave)
    return dict(names)
