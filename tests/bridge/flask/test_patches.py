# SPDX-License-Identifier: MIT
"""What is replaced or read in other projects is there, as the bridge knows it, and touched nowhere else."""

import functools
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engineio
import flask
import pytest
from werkzeug.datastructures import Headers
from werkzeug.routing import Map, Rule
from werkzeug.routing.matcher import StateMachineMatcher
from werkzeug.test import create_environ
from werkzeug.wrappers import Response

import ashapp.bridge
from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.flask import patches
from ashapp.bridge.flask.patches import READ, REPLACED, TABLE, Patch
from ashapp.bridge.loop_or_thread.hindrances import is_original
from tests.support.flask import accelerated_release, since

BRIDGE = Path(ashapp.bridge.__file__).parent

APP = flask.Flask(__name__)
MAP = Map([Rule("/<int:number>")])
# An object of each class with an internal that its objects alone have.
OBJECTS: dict[type, object] = {
    Map: MAP,
    Rule: next(MAP.iter_rules()),
    Response: Response(),
    Headers: Headers(),
    flask.Flask: APP,
    flask.ctx.AppContext: APP.app_context(),
    vars(flask.ctx).get("RequestContext", flask.ctx.AppContext): APP.request_context(create_environ()),
    engineio.Server: engineio.Server(async_mode="threading"),
    StateMachineMatcher: StateMachineMatcher(merge_slashes=True),
}


def resolve(name: str) -> Any:
    module, *attributes = name.split(".")
    found: Any = __import__(module)
    for attribute in attributes:
        found = getattr(
            OBJECTS.get(found, found) if isinstance(found, type) and attribute.startswith("_") else found,
            attribute,
        )
    return found


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param(
            patch,
            id=patch.name,
            marks=[
                *[accelerated_release] * ("accelerators/contexts" in patch.files),
                *[since("3.2.dev0", "it is there since Flask 3.2")] * patch.name.endswith("._cv_token"),
                *[since("3.12", "a Local is tied to a thread since then", "asgiref")]
                * patch.name.endswith("._Storage"),
            ],
        )
        for patch in TABLE
    ],
)
def test_it_is_as_upstream_has_it(patch: Patch) -> None:
    found = resolve(patch.name)
    assert not patch.takes or ", ".join(inspect.signature(found).parameters) == patch.takes
    for file in patch.files.split():
        assert patch.name.rpartition(".")[2] in (BRIDGE / file).read_text(encoding="utf-8")


def internals() -> Iterator[tuple[str, str]]:
    """Each attribute of another object whose name begins with an underscore, with its file."""
    for path in set(BRIDGE.rglob("*.py")) - {Path(patches.__file__)}:
        code = re.sub(r'""".*?"""|#[^\n]*', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        own = set(re.findall(r"self\.(_\w+)", code))
        for name in set(re.findall(r"(?<!super\(\))\.(_[a-z]\w+)", code)) - own:
            yield name, str(path.relative_to(BRIDGE))


def test_internals_are_touched_only_where_the_table_says() -> None:
    listed = {(patch.name.rpartition(".")[2], file) for patch in TABLE for file in patch.files.split()}
    known = {
        "_get_running_loop",
        "_current_frames",
        "_exit",
        "_parser",
        "_ashapp_by_turns",
    }  # of Python, and our own
    unlisted = {(name, file) for name, file in internals() if name not in known} - listed
    assert not unlisted, "give each of these internals a row in bridge/flask/patches.py, with its file"


def test_the_table_has_no_doubles() -> None:
    assert len({patch.name for patch in TABLE}) == len(TABLE) == len(REPLACED) + len(READ)


@accelerated_release
def test_what_is_replaced_on_an_application_is_listed() -> None:
    app = flask.Flask(__name__)
    before = set(vars(app))
    FlaskToAsgi(app)
    listed = {patch.name for patch in REPLACED}
    assert {f"flask.Flask.{name}" for name in set(vars(app)) - before} == {
        name for name in listed if name.startswith("flask.Flask.")
    }


INNER: Any = flask.Flask.make_response


def replaced(self: flask.Flask, *args: Any) -> Any:
    return INNER(self, *args)


@functools.wraps(INNER)
def wrapper(*args: Any) -> Any:
    return INNER(*args)


@pytest.mark.parametrize("replacement", [replaced, wrapper, functools.partialmethod(INNER)])
def test_a_method_that_a_tool_has_replaced_is_told_from_flasks_own(
    replacement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = type("Own", (flask.Flask,), {"make_response": replacement})
    assert is_original(flask.Flask, "make_response", "flask.app")
    assert not is_original(own, "make_response", "flask.app")
    assert not is_original(flask.Flask, "no_such_method", "flask.app")
    monkeypatch.setattr(flask.Flask, "make_response", replacement)
    assert not is_original(flask.Flask, "make_response", "flask.app")
