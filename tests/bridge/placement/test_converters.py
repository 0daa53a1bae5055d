# SPDX-License-Identifier: MIT
import threading
from typing import Any

import pytest
from werkzeug.routing import BaseConverter, Map, Rule

from ashapp.bridge.placement.converters import guard_converters, may_block, on_loop
from ashapp.bridge.placement.nonblocking import nonblocking


class Upper(BaseConverter):
    def to_python(self, value: str) -> str:
        return value.upper()


@nonblocking
class Quick(Upper):
    pass


class Regex(BaseConverter):
    regex = "[a-z]+"


def make_map(*rules: str) -> Map:
    converters = {"upper": Upper, "quick": Quick, "other": Upper, "regex": Regex}
    return Map([Rule(rule, endpoint=rule) for rule in rules], converters=converters)


def match(url_map: Map, path: str) -> Any:
    return url_map.bind("localhost").match(path)[1]


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("/", None),
        ("/<value>/<int:number>", None),
        ("/<quick:value>", None),
        ("/<regex:value>", None),
        ("/<quick:a>/<upper:b>", "upper"),
    ],
)
def test_a_rule_may_block_by_a_converter_of_its_own(rule: str, name: str | None) -> None:
    url_map = make_map(rule)
    [found] = url_map.iter_rules()
    assert may_block(found) == name
    assert guard_converters(url_map) == (name is not None)


def test_one_that_is_not_registered_any_more_has_the_name_of_its_class() -> None:
    url_map = make_map("/<upper:value>")
    url_map.converters.clear()
    [found] = url_map.iter_rules()
    assert may_block(found) == "Upper"


def test_a_guarded_converter_is_not_called_on_the_loop() -> None:
    url_map = make_map("/items/<upper:value>", "/items", "/quick/<quick:value>")
    for _ in range(2):
        assert guard_converters(url_map)
    assert match(url_map, "/items/tea") == {"value": "TEA"}
    assert on_loop(match, url_map, "/items") == {}
    assert on_loop(match, url_map, "/quick/tea") == {"value": "TEA"}
    with pytest.raises(Exception, match="Upper"):
        on_loop(match, url_map, "/items/tea")
    assert match(url_map, "/items/tea") == {"value": "TEA"}


def test_a_thread_is_not_concerned_with_what_the_loop_does() -> None:
    url_map = make_map("/items/<upper:value>")
    guard_converters(url_map)
    seen: list[Any] = []

    def elsewhere() -> None:
        thread = threading.Thread(target=lambda: seen.append(match(url_map, "/items/tea")))
        thread.start()
        thread.join()

    on_loop(elsewhere)
    assert seen == [{"value": "TEA"}]
