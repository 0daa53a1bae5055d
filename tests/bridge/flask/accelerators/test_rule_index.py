# SPDX-License-Identifier: MIT
"""The number of rules makes no difference to what a request costs, and the index none to what it matches."""

import sys
from collections.abc import Callable
from itertools import product
from types import FrameType
from typing import Any

import flask
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, Map, MapAdapter, RequestRedirect, Rule
from werkzeug.test import EnvironBuilder

from ashapp import FlaskToAsgi, nonblocking
from ashapp.bridge.flask.accelerators import matching, rule_index

# What a rule may look like, and a path that leads to it, for each number.
SHAPES = {
    "static": ("/a{0}", "/a{0}"),
    "converter": ("/a{0}/<int:x>", "/a{0}/7"),
    "converter first": ("/<int:x>/a{0}", "/7/a{0}"),
    "text in front": ("/a{0}-<int:x>", "/a{0}-7"),
    "text behind": ("/<x>-a{0}", "/7-a{0}"),
    "text around": ("/a-<x>.{0}", "/a-7.{0}"),
    "expressions of their own": ("/a{0}-<any(b{0}, c{0}):x>", "/a{0}-b{0}"),
    "path": ("/a{0}-<path:x>/b", "/a{0}-7/8/b"),
    "path first": ("/<path:x>/a{0}", "/7/8/a{0}"),
    "no such path": ("/a{0}-<int:x>", "/a{0}-b"),
}


def instructions(function: Callable[[], object]) -> int:
    """Return how many instructions Python executes for *function*."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def make_app(rule: str, number: int, endpoint: str) -> flask.Flask:
    def view(**_: object) -> str:
        return flask.url_for("other.view")

    async def on_loop() -> str:
        return ""

    app = flask.Flask(__name__, static_folder=None)
    for i in range(100, 100 + number):
        blueprint = flask.Blueprint(f"b{i}", __name__)
        blueprint.url_defaults(nonblocking(lambda *_: None))
        blueprint.before_request(lambda: None)
        blueprint.errorhandler(404)(lambda error: (str(error), 404))
        app.register_blueprint(blueprint)
        app.add_url_rule(rule.format(i), endpoint.format(i), view)
    other = flask.Blueprint("other", __name__)
    other.add_url_rule("/other", "view", view)
    other.add_url_rule("/loop", "loop", on_loop)  # so the bridge matches each request before Flask does
    app.register_blueprint(other)
    return app


@pytest.mark.parametrize("endpoint", ["each", "each{0}"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_request_costs_the_same_whatever_the_number_of_rules(shape: str, endpoint: str) -> None:
    rule, path = SHAPES[shape]

    def cost(number: int) -> int:
        app = make_app(rule, number, endpoint)
        FlaskToAsgi(app)
        routing = app.extensions["ashapp"].routing

        def serve() -> None:
            environ = EnvironBuilder(path.format(115)).get_environ()
            assert routing.place_on_loop(environ) is None
            b"".join(app.wsgi_app(environ, lambda *_: lambda _: None))

        serve()
        serve()
        return instructions(serve)

    assert cost(500) <= 1.05 * cost(20)


# -- it matches as Werkzeug does


class Slashed(BaseConverter):
    regex = "[ab/]+?"


class Torn(BaseConverter):
    regex = "a)|p(b"  # what is behind it, or in front of it, need not be there


class Broken(BaseConverter):
    regex = "[a"


CONVERTERS = {"slashed": Slashed, "torn": Torn, "broken": Broken}
TEXTS = ["", "a", "b", "ab", "a.b", "-", "1", "\u00e9"]
ARGUMENTS = ["<{}>", "<int:{}>", "<path:{}>", "<any(a,b):{}>", "<string(length=1):{}>"]
OWN_ARGUMENTS = ["<slashed:{}>", "<torn:{}>", "<broken:{}>"]
NAMES = "xyz"


@st.composite
def rule_texts(draw: st.DrawFn) -> str:
    """A rule of up to three arguments, with text around them."""
    names = iter(NAMES)
    pieces = draw(
        st.lists(st.sampled_from([*TEXTS, "/", "//", *ARGUMENTS, *ARGUMENTS, *OWN_ARGUMENTS]), max_size=6)
    )
    text = ""
    for piece in pieces:
        name = next(names, None) if "{}" in piece else ""
        text += "" if name is None else piece.format(name)
    return f"/{text}"


METHODS = st.none() | st.lists(st.sampled_from(["GET", "POST"]), max_size=2)
RULES = st.fixed_dictionaries(
    {"string": rule_texts(), "endpoint": st.sampled_from("ef"), "methods": METHODS},
    optional={
        "strict_slashes": st.booleans(),
        "merge_slashes": st.booleans(),
        "websocket": st.booleans(),
        "build_only": st.booleans(),
        "alias": st.booleans(),
        "defaults": st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["a", 1])),
        "redirect_to": st.sampled_from(["a", "b/<x>"]),
        "subdomain": st.sampled_from(["", "s", "<z>", "s-<z>"]),
        "host": st.sampled_from(["h", "<z>.h", "<path:z>"]),
    },
)
MAPS = st.fixed_dictionaries(
    {
        "strict_slashes": st.booleans(),
        "merge_slashes": st.booleans(),
        "redirect_defaults": st.booleans(),
        "host_matching": st.booleans(),
    }
)
PATHS = st.lists(st.sampled_from([*TEXTS, "/", "//", "7"]), max_size=7).map("".join)


def outcome(adapter: MapAdapter, path: str, method: str, *, websocket: bool) -> object:
    adapter.path_info, adapter.default_method, adapter.websocket = path, method, websocket
    try:
        rule, values = adapter.match(return_rule=True)
    except RequestRedirect as redirect:
        return redirect.new_url
    except HTTPException as error:
        return type(error), sorted(getattr(error, "valid_methods", None) or ())
    except Exception as error:
        return type(error), str(error)
    return str(rule.rule), rule.endpoint, rule.methods, rule.websocket, values


def add(url_map: Map, rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        try:
            url_map.add(Rule(**rule))
        except Exception:  # a rule that Werkzeug does not take
            continue


def compare(stages: list[list[dict[str, Any]]], options: dict[str, Any], paths: list[str]) -> None:
    """Match *paths* in two maps, with an index and without, after each of *stages* has been added."""
    theirs, ours = (Map(converters=CONVERTERS, **options) for _ in range(2))
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(rule_index, "_FEW", 0)
        for rules in stages:
            add(theirs, rules)
            add(ours, rules)
            for subdomain in [None] if options.get("host_matching") else ["", "s", "s-t"]:
                plain = theirs.bind("h", subdomain=subdomain)
                quick = matching.Adapter.like(ours.bind("h", subdomain=subdomain), flask.Request({}))
                for path, method, websocket in product([*paths, *paths[:2]], ["GET", "POST"], [False, True]):
                    told = [outcome(one, path, method, websocket=websocket) for one in (plain, quick)]
                    assert told[0] == told[1], (path, method, websocket)


@given(st.lists(st.lists(RULES, max_size=8), max_size=2), MAPS, st.lists(PATHS, max_size=5))
def test_a_map_with_an_index_matches_as_one_without(
    stages: list[list[dict[str, Any]]], options: dict[str, Any], paths: list[str]
) -> None:
    compare(stages, options, paths)


@pytest.mark.parametrize(
    ("rules", "paths"),
    [
        (["/x/a-<x>", "/<path:x>/b"], ["//x//a-1", "/x//a-1", "/x/a-1", "/x//y/b", "/x//b", "/x/y//b/"]),
        (["/p<torn:x>", "/p<torn:x>q", "/p<int:x>q"], ["/pa", "/pb", "/pq", "/p1q", "/p1", "/pbq", "/paz"]),
        (["/p<broken:x>", "/q<int:x>"], ["/p1", "/q1"]),
        (["/aba<x>aba", "/a<x>a"], ["/aba", "/ababa", "/abaaba", "/aba1aba", "/aa", "/a1a", "/"]),
        (["/a<path:x>/", "/a<path:x>/b", "/a<x>"], ["/a1", "/a1/", "/a1/b", "/a1/b/", "/a1//b", "/a1/c/"]),
        (["/a-<int:x>/", "/a-<x>/c"], ["/a-1", "/a-1/", "/a-b", "/a-1/c", "/a-1/c/"]),
    ],
)
def test_a_path_that_is_out_of_the_ordinary_is_matched_as_by_werkzeug(
    rules: list[str], paths: list[str]
) -> None:
    for merge_slashes in (True, False):
        compare(
            [[{"string": rule, "endpoint": rule} for rule in rules]], {"merge_slashes": merge_slashes}, paths
        )
