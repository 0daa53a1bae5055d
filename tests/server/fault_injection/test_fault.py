# SPDX-License-Identifier: MIT
import json
from typing import Any

import pytest

from ashapp.server.fault_injection.fault import KINDS, OfRequests, parse

RULE = "must be a rule as Flask writes it, without converters of an application's own, "


def asked(**values: Any) -> bytes:
    return json.dumps(values).encode()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"kind": "latency", "seconds": 1}, "latency rate=1.0 seconds=1.0 jitter=0.0"),
        (
            {
                "kind": "latency",
                "seconds": 0.5,
                "jitter": 60,
                "rate": 0.1,
                "route": "/a/<b>",
                "duration": 3600,
            },
            "latency rate=0.1 route=/a/<b> seconds=0.5 jitter=60.0",
        ),
        ({"kind": "error"}, "error rate=1.0 status=500"),
        ({"kind": "error", "status": 599, "worker": 7}, "error rate=1.0 status=599"),
        ({"kind": "unready", "worker": "one"}, "unready"),
        ({"kind": "crash", "new_workers": True}, "crash"),
        ({"kind": "cpu"}, "cpu threads=1"),
        ({"kind": "memory", "mib": 65536}, "memory mib=65536"),
        ({"kind": "block", "duration": 0.1}, "block"),
    ],
)
def test_a_fault_says_what_is_asked_of_it(values: dict[str, Any], told: str) -> None:
    fault = parse(asked(**values))
    assert str(fault) == told
    assert KINDS[fault.kind](**fault.values()).values() == fault.values()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body must be JSON: "),
        (b"\xff", "the body must be JSON: "),
        (b"[" * 5000, "the body must be JSON: "),
        (b"[1]", "the body is [1]: must be a JSON object"),
        (b"{}", "kind = None: must be one of latency, error, unready, crash, cpu, memory, block"),
        (asked(kind="fire"), "kind = 'fire': must be one of latency, "),
        (asked(kind=["cpu"]), "kind = ['cpu']: must be one of latency, "),
        (asked(kind="latency"), "seconds is missing: must be a number above 0 and at most 60"),
        (asked(kind="latency", seconds="1"), "seconds = '1': must be a number above 0 and at most 60"),
        (asked(kind="latency", seconds=61), "seconds = 61: must be a number above 0 and at most 60"),
        (b'{"kind": "error", "rate": NaN}', "rate = nan: must be a number above 0 and at most 1"),
        (asked(kind="error", rate=0), "rate = 0: must be a number above 0 and at most 1"),
        (asked(kind="error", status=True), "status = True: must be a whole number from 400 to"),
        (asked(kind="error", status=600), "status = 600: must be a whole number from 400 to"),
        (
            asked(kind="error", route="users"),
            f"route = 'users': {RULE}such as /users/<id> or /api/<path:rest>",
        ),
        (asked(kind="error", route="/<own:x>"), f"route = '/<own:x>': {RULE}such as /users/<id>"),
        (asked(kind="error", route="/<x"), f"route = '/<x': {RULE}such as /users/<id>"),
        (asked(kind="error", route="/<x>/<x>"), f"route = '/<x>/<x>': {RULE}such as /users/<id>"),
        (asked(kind="error", route="/<int(own=1):x>"), f"route = '/<int(own=1):x>': {RULE}such as"),
        (asked(kind="error", route="/<int(max='a'):x>"), f"{RULE}such as"),
        (asked(kind="error", route="/<float(max='a'):x>"), f"{RULE}such as"),
        (asked(kind="error", route="/<string(minlength=3, maxlength=2):x>"), f"{RULE}such as"),
        (asked(kind="error", route="/<string(minlength=99999999999):x>"), f"{RULE}such as"),
        (asked(kind="error", self=1), "'self' is none of kind, "),
        (asked(kind="error", route=7), "route = 7: must be a valid string"),
        (asked(kind="memory", mib=10**310), "must be a whole number from 1 to"),
        (asked(kind="memory", mib=1e9), "mib = 1000000000.0: must be a whole number from 1 to"),
        (asked(kind="cpu", duration=3601), "duration = 3601: must be a number above 0 and at most 3600"),
        (
            asked(kind="cpu", worker="any"),
            "worker = 'any': must be 'all', 'one' or the process id of a worker",
        ),
        (
            asked(kind="cpu", worker=7, new_workers=True),
            "new_workers = true goes with worker = 'all' only, no",
        ),
        (
            asked(kind="cpu", thread=2),
            "'thread' is none of kind, duration, worker, new_workers, threads; did yo",
        ),
        (asked(kind="cpu", **{"x" * 200: 1}), f"'{'x' * 99}... is none of kind, "),
        (asked(kind="cpu", threads=0, duration=0), "at most 3600; threads = 0: must be a whole number from"),
    ],
)
def test_what_can_not_be_asked_for_is_told(body: bytes, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared
        parse(body)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("route", "path", "is_concerned"),
    [
        (None, "/users/7", True),
        ("/users/<int:id>", "/users/7", True),
        ("/users/<int:id>", "/users/7/", True),
        ("/users/<int:id>", "/users/me", False),
        ("/api/<path:rest>", "/api/a/b", True),
        ("/api/<path:rest>", "/apis", False),
        ("/", "/", True),
    ],
)
def test_a_rule_says_which_requests_are_concerned(
    route: str | None, path: str, *, is_concerned: bool
) -> None:
    fault = parse(asked(kind="error", route=route))
    assert isinstance(fault, OfRequests)
    assert fault.concerns(path) is is_concerned
