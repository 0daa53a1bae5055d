# SPDX-License-Identifier: MIT
from contextvars import Context

from ashapp.observe.observation import Message, Observation, current
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


async def test_status_and_bytes_are_noted_and_all_is_passed_on() -> None:
    server = Server()
    seen = observation(server, (b"x-request-id", b"r1"))
    await seen.send({"type": "http.response.start", "status": 201, "headers": [(b"a", b"b")]})
    await seen.send({"type": "http.response.body", "body": b"one", "more_body": True})
    assert (seen.status, seen.sent, seen.ended) == (201, 3, False)
    await seen.send({"type": "http.response.body", "body": b"two!", "more_body": False})
    assert (seen.sent, seen.ended) == (7, True)
    assert seen.duration > 0
    assert server.ended == [seen]
    assert server.sent == [
        {"type": "http.response.start", "status": 201, "headers": [(b"a", b"b"), (b"x-request-id", b"r1")]},
        {"type": "http.response.body", "body": b"one", "more_body": True},
        {"type": "http.response.body", "body": b"two!", "more_body": False},
    ]


async def test_a_response_is_counted_before_its_end_is_sent() -> None:
    server = Server()
    seen = observation(server)
    sending = seen.send({"type": "http.response.body"})
    assert server.ended == [seen]
    assert server.sent == []
    await sending


async def test_what_is_sent_after_the_end_does_not_end_it_again() -> None:
    server = Server()
    seen = observation(server)
    for _ in range(2):
        await seen.send({"type": "http.response.body"})
    assert len(server.ended) == 1


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


def test_without_a_span_only_itself_is_bound() -> None:
    seen = observation(Server())
    context = Context()
    context.run(seen.bind)
    assert dict(context) == {current: seen}
