# SPDX-License-Identifier: MIT
import re
from contextvars import Context

import pytest

from ashapp.observe.observation import Message, Observation, current, identify
from tests.support.asgi import http_scope


class Server:
    """Keeps what is sent, and the observations that have ended."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.ended: list[Observation] = []

    async def send(self, message: Message) -> None:
        self.sent.append(message)


def observation(server: Server, *headers: tuple[bytes, bytes]) -> Observation:
    return Observation(http_scope(headers=headers), server.send, server.ended.append)


async def test_other_messages_pass_as_they_are() -> None:
    server = Server()
    message = {"type": "http.response.push", "path": "/style.css", "headers": []}
    await observation(server).send(message)
    assert server.sent == [message]


async def test_the_applications_own_request_id_is_kept() -> None:
    server = Server()
    start = {"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"own")]}
    await observation(server, (b"x-request-id", b"given")).send(start)
    assert server.sent == [start]


async def test_a_message_that_is_sent_again_is_not_changed() -> None:
    server = Server()
    start = {"type": "http.response.start", "status": 503}
    for name in (b"first", b"second"):
        await observation(server, (b"x-request-id", name)).send(start)
    assert [message["headers"][-1][1] for message in server.sent] == [b"first", b"second"]
    assert "headers" not in start


def test_it_is_bound_with_its_span_in_the_context_of_the_request() -> None:
    seen = observation(Server())
    bound: list[Observation | None] = []
    seen.bind_span = lambda: bound.append(current.get())
    context = Context()
    context.run(seen.bind)
    assert context[current] is seen
    assert bound == [seen]
    assert current.get() is None


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "value", ["1", "f0e1-22", "Root=1-67891233-abcdef012345678912345678", "a@b:/+~_.", "x" * 128]
)
def test_a_request_id_is_taken_over(value: str) -> None:
    request_id, trace_id, _ = identify([(b"host", b"localhost"), (b"x-request-id", value.encode())])
    assert request_id == value
    assert trace_id != value


@pytest.mark.parametrize(
    "value",
    [b"", b"a b", b'"', b"a\r\nSet-Cookie: a=b", b"\xe9", b"a,b", b"<b>", b"x" * (129)],
)
def test_a_request_id_that_could_do_harm_is_replaced(value: bytes) -> None:
    request_id, trace_id, _ = identify([(b"x-request-id", value)])
    assert request_id == trace_id


def test_of_several_request_ids_the_nearest_proxys_counts() -> None:
    assert identify([(b"x-request-id", b"clients"), (b"x-request-id", b"proxys")])[0] == "proxys"


def test_without_any_header_all_is_made_anew() -> None:
    made = [identify([]) for _ in range(100)]
    for request_id, trace_id, span_id in made:
        assert request_id == trace_id
        assert re.fullmatch(r"[0-9a-f]{32}", trace_id)
        assert re.fullmatch(r"[0-9a-f]{16}", span_id)
    assert len({trace_id for _, trace_id, _ in made}) == len({span_id for *_, span_id in made}) == 100


def test_a_trace_goes_on_with_a_span_of_ours() -> None:
    request_id, trace_id, span_id = identify([(b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())])
    assert request_id == trace_id == TRACE
    assert span_id != SPAN


def test_several_traceparents_are_none() -> None:
    header = (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())
    assert identify([header, header])[1] != TRACE


@pytest.mark.parametrize(
    ("value", "trace_id"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"00-{TRACE}-{SPAN}-ff", TRACE),
        (f"01-{TRACE}-{SPAN}-01", TRACE),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", TRACE),
        (f"cc-{TRACE}-{SPAN}-01.what", None),
        (f"00-{TRACE}-{SPAN}-01-", None),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f"00-{TRACE[1:]}-{SPAN}-01", None),
        (f"0-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        ("", None),
    ],
)
def test_a_traceparent_is_parsed_by_its_version(value: str, trace_id: str | None) -> None:
    found = identify([(b"traceparent", value.encode())])[1]
    assert (found == TRACE) is (trace_id is not None)
