# SPDX-License-Identifier: MIT
"""Lets Werkzeug match paths at a cost that does not grow with the number of rules.

Theory of operation. Werkzeug's matcher is a tree of states. The host, and each part of a path between
slashes, lead from one state to the next: by a dict for literal text, else by a list of regular expressions,
which are tried one after the other. Here, while a path is matched, that list only gives the expressions whose
literal text at both ends is that of the part. All others can't match. So Werkzeug's own code does the
matching, tries the same rules in the same order, and comes to the same result.

A state that *n* transitions away from the root looks at part *n*. A path with repeated slashes is tried by
Werkzeug a second time, with single ones, so an expression is offered if it fits in either way.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import takewhile
from typing import Any

from werkzeug.routing import Map, Rule
from werkzeug.routing.matcher import State, StateMachineMatcher
from werkzeug.routing.rules import RulePart

_Transition = tuple[RulePart, State]

__all__ = ["RuleIndex", "index_of"]

# A shorter list is searched as quickly as an index.
_FEW = 8
# Python keeps 512 expressions compiled, and finds one by its text in less time than one that is compiled.
_MOST_SHARED = 256
_parser: Any = re._parser  # type: ignore[attr-defined]  # noqa: SLF001 - of Python


class _Thread(threading.local):
    # The parts of the present path; and of its form with single slashes, if that is different.
    paths: Sequence[list[str]] = ()


_thread = _Thread()


class RuleIndex(StateMachineMatcher):
    """A matcher with the *rules* of *plain*, in its place."""

    def __init__(self, plain: StateMachineMatcher, rules: Iterable[Rule]) -> None:
        super().__init__(plain.merge_slashes)
        self._root = plain._root  # noqa: SLF001 - see ``flask/patches.py``
        #: Rules that were found by path (see ``matching``). They are forgotten when a rule is added.
        self.known: dict[Any, Rule] = {}
        self._is_needed = False
        # Endpoints with a rule to which others may redirect, for its defaults.
        self._defaulting: set[Any] = set()
        for rule in rules:
            self._note(rule)
        self.update()

    def add(self, rule: Rule) -> None:
        """Add *rule*; see ``StateMachineMatcher.add``."""
        super().add(rule)
        self._note(rule)
        self.known = {}

    def has_defaults(self, endpoint: Any) -> bool:
        """Say whether a rule of *endpoint* may be the default for another one of it."""
        return endpoint in self._defaulting

    def update(self) -> None:
        """Sort the transitions and index them; see ``StateMachineMatcher.update``."""
        super().update()
        self._is_needed = _index(self._root, 0)

    def match(
        self,
        domain: str,
        path: str,
        method: str,
        websocket: bool,  # noqa: FBT001 - as Werkzeug has it
    ) -> tuple[Rule, MutableMapping[str, Any]]:
        """Return the rule for a request with its arguments; see ``StateMachineMatcher.match``."""
        if not self._is_needed:
            return super().match(domain, path, method, websocket)
        parts = [domain, *path.split("/")]
        _thread.paths = [parts]
        if "//" in path:
            _thread.paths.append([domain, *re.sub("/{2,}", "/", path).split("/")])
        try:
            return super().match(domain, path, method, websocket)
        finally:
            _thread.paths = ()

    def _note(self, rule: Rule) -> None:
        if rule.defaults or type(rule).provides_defaults_for is not Rule.provides_defaults_for:
            self._defaulting.add(rule.endpoint)


def _index(state: State, depth: int) -> bool:
    """Index the transitions of *state*, and of those below it; say whether there are any to index."""
    is_needed = len(state.dynamic) > _FEW
    if is_needed:
        state.dynamic = _Transitions(state.dynamic, depth)
    # Behind a final transition there is no part to look at.
    dynamic = [below for part, below in state.dynamic if not part.final]
    found = [_index(below, depth + 1) for below in (*state.static.values(), *dynamic)]
    return is_needed or any(found)


class _Transitions(list[_Transition]):
    """The dynamic *transitions* of a state: while a path is matched, it iterates those that may apply."""

    def __init__(self, transitions: list[_Transition], depth: int) -> None:
        super().__init__(transitions)
        self._depth = depth
        # The transitions to try, and their positions; by whether they take the rest of the path, the lengths
        # of both ends, and both ends.
        fitting: dict[tuple[bool, int, int], dict[str, tuple[list[_Transition], list[int]]]] = {}
        contents = [_without_ends(part.content, *_ends(part.content)) for part, _ in transitions]
        prepare: Callable[[str], Any] = str if len(set(contents)) <= _MOST_SHARED else _compiled
        for position, ((part, state), content) in enumerate(zip(transitions, contents, strict=True)):
            start, end = _ends(part.content)
            by_ends = fitting.setdefault((part.final, len(start), len(end)), {})
            tried, positions = by_ends.setdefault(start + end, ([], []))
            tried.append((replace(part, content=prepare(content)), state))
            positions.append(position)
        self._has_final = any(part.final for part, _ in transitions)
        self._fitting = [
            (final, slice(start), slice(-end, None) if end else None, by_ends)
            for (final, start, end), by_ends in fitting.items()
        ]

    def __iter__(self) -> Iterator[_Transition]:
        paths = _thread.paths
        if not paths:
            return super().__iter__()
        found = self._look_up(paths[0])
        if len(paths) == 1 and len(found) < 2:
            return iter(found[0][0] if found else ())
        for parts in paths[1:]:
            found += self._look_up(parts)
        return map(self.__getitem__, sorted({position for _, positions in found for position in positions}))

    def _look_up(self, parts: list[str]) -> list[tuple[list[_Transition], list[int]]]:
        depth = self._depth
        part = parts[depth] if depth < len(parts) else ""
        rest = "/".join(parts[depth:]) if self._has_final else ""
        found = []
        for final, start, end, by_ends in self._fitting:
            target = rest if final else part
            ends = target[start] if end is None else target[start] + target[end]
            if ends in by_ends:
                found.append(by_ends[ends])
        return found


def _without_ends(pattern: str, start: str, end: str) -> str:
    """Return an expression for parts that are known to have the literal text of *pattern* at both ends.

    Rules with the same arguments share it, if the lengths are the same.
    """
    before, after = re.escape(start), f"{re.escape(end)}\\Z"
    if start and pattern.startswith(before):
        pattern = f"(?s:.{{{len(start)}}}){pattern[len(before) :]}"
    if end and pattern.endswith(after):
        pattern = f"{pattern[: -len(after)]}(?s:.{{{len(end)}}})\\Z"
    return pattern


def _compiled(pattern: str) -> Any:
    try:
        return re.compile(pattern)
    except re.error:  # which the client of a path meets that gets as far
        return pattern


@cache
def _ends(pattern: str) -> tuple[str, str]:
    """Return the literal text at the start and at the end of each text that *pattern* matches."""
    try:
        items = list(_parser.parse(pattern))
    except re.error:
        return "", ""
    is_anchored = str(items[-1][1]) == "AT_END_STRING"
    return _literal(items), _literal(items[-2::-1])[::-1] if is_anchored else ""


def _literal(items: list[Any]) -> str:
    return "".join(chr(code) for _, code in takewhile(lambda item: str(item[0]) == "LITERAL", items))


def index_of(url_map: Map) -> RuleIndex | None:
    """Return the index of *url_map*; make it if there is none. None for a map with a matcher of its own."""
    matcher: Any = url_map._matcher  # noqa: SLF001 - see ``flask/patches.py``
    if type(matcher) is StateMachineMatcher and type(url_map) is Map:
        url_map.update()
        matcher = vars(url_map)["_matcher"] = RuleIndex(matcher, url_map.iter_rules())
    return matcher if type(matcher) is RuleIndex else None
