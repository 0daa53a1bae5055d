# SPDX-License-Identifier: MIT
"""Static folders: what Flask sends, without a thread that is held, and precompressed files."""

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi, nonblocking, on_thread
from ashapp.bridge.flask.static_files import WHOLE_SIZE
from ashapp.bridge.loop_or_thread.placement import Place, Placement
from tests.support.client import Address, Connection, Fields, Response, fetch
from tests.support.server import Serve, on_every_server
from tests.support.waiting import until

# More than sockets and the bridge hold for a client that does not read.
HUGE = 40 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    (folder / "inner").mkdir(parents=True)
    for name, content in {
        "a.css": b"body { color: red }" * 9,
        "empty.txt": b"",
        "größe.txt": b"x",
        "whole.bin": os.urandom(WHOLE_SIZE),
        "large.bin": os.urandom(WHOLE_SIZE * 3 + 1),
        "inner/b.js": b"1",
        "done.tar.gz": b"gz",
        "../secret.txt": b"secret",
    }.items():
        (folder / name).write_bytes(content)
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "loop").symlink_to(folder / "loop")
    return folder


def make_app(root: Path, place: str = "loop", **config: Any) -> flask.Flask:
    app = flask.Flask("shop", root_path=str(root))
    app.config.update(ASHAPP_STATIC_FILES=place, **config)
    part = flask.Blueprint("part", "part", root_path=str(root), static_folder="static", url_prefix="/part")
    app.register_blueprint(part)
    app.register_error_handler(404, lambda _error: ("none of ours", 404))
    return app


def endpoints_on_loop(app: flask.Flask) -> set[str]:
    placement = Placement(app)
    return {endpoint for endpoint in app.view_functions if placement.of(endpoint).serves_files}


def comparable(response: Response) -> tuple[Any, ...]:
    fields = [field for field in response.head.fields if field[0] not in {"date", "expires"}]
    return response.head.status, fields, response.body


def test_the_table_of_requests_gets_the_same_as_from_flask(serve: Serve, folder: Path) -> None:
    """Status, header fields and bytes, of the application's folder and of a blueprint's."""
    for config in ({}, {"SEND_FILE_MAX_AGE_DEFAULT": 3600}):
        apps = [make_app(folder.parent, place, **config) for place in ("loop", "thread")]
        assert [endpoints_on_loop(app) for app in apps] == [{"static", "part.static"}, set()]
        ours = [answers(serve(FlaskToAsgi(app))) for app in apps]
        for request, loop, thread in zip(ours[0], ours[0].values(), ours[1].values(), strict=True):
            assert comparable(loop) == comparable(thread), request


def answers(address: Address) -> dict[tuple[Any, ...], Response]:
    found: dict[tuple[Any, ...], Response] = {}
    names: tuple[str, ...] = (
        "a.css",
        "empty.txt",
        "gr%C3%B6%C3%9Fe.txt",
        "whole.bin",
        "large.bin",
        "inner/b.js",
        "done.tar.gz",
    )
    names += (
        "",
        "none.css",
        "inner",
        "inner/",
        "link.txt",
        "loop",
        "a.css/",
        "a%00.css",
        "%2e%2e/secret.txt",
    )
    names += ("../secret.txt", "inner/../../secret.txt", "/etc/passwd", "..%5csecret.txt", "a.css?v=1")
    with Connection(address) as connection:

        def ask(method: str, target: str, *fields: tuple[str, str]) -> Response:
            response = connection.request(method, target, fields)
            found[method, target, fields] = response
            return response

        for prefix in ("/static/", "/part/static/"):
            for name in names:
                first = ask("GET", prefix + name)
                ask("HEAD", prefix + name)
                for conditions in conditional(first) if name in {"a.css", "large.bin"} else ():
                    ask("GET", prefix + name, *conditions)
            for method in ("POST", "OPTIONS", "PUT"):
                ask(method, f"{prefix}a.css")
    return found


def conditional(response: Response) -> list[Fields]:
    """Return the fields of requests that follow *response*."""
    etag, date = response.head.one("etag") or '"x"', response.head.one("last-modified") or "x"
    old = "Thu, 01 Jan 1970 00:00:00 GMT"
    pairs: list[tuple[str, str]] = [
        ("If-None-Match", etag),
        ("If-None-Match", f'W/{etag}, "y"'),
        ("If-None-Match", '"y"'),
    ]
    pairs += [("If-None-Match", "*"), ("If-Modified-Since", date), ("If-Modified-Since", old)]
    pairs += [("If-Match", '"y"'), ("If-Unmodified-Since", old), ("Accept-Encoding", "zstd, gzip")]
    ranges = ("0-0", "5-9", "-3", "100000-", "0-99999999", "9-5", "x", "0-1,3-4", "99999999-")
    pairs += [("Range", f"bytes={ends}") for ends in ranges]
    both = [(("Range", "bytes=1-3"), ("If-Range", value)) for value in (etag, '"y"', date, old)]
    return [*((pair,) for pair in pairs), *both]


@on_every_server
def test_slow_clients_hold_no_thread_and_no_file_when_they_vanish(serve: Serve, folder: Path) -> None:
    """More of them than threads, and no ends; a file is served all the same."""
    with (folder / "huge.bin").open("wb") as file:
        file.truncate(HUGE)
    bridge = FlaskToAsgi(make_app(folder.parent), threads=1, async_threads=1)
    address = serve(bridge)

    def is_open() -> bool:
        with os.scandir("/proc/self/fd") as entries:
            return any(
                "huge.bin" in str(Path(entry.path).readlink()) for entry in entries if entry.is_symlink()
            )

    with ExitStack() as stack:
        slow = [stack.enter_context(Connection(address)) for _ in range(5)]
        for connection in slow:
            connection.send_request("GET", "/static/huge.bin")
            assert connection.receive_head().status == 200
        assert fetch(address, "/static/large.bin").body == (folder / "large.bin").read_bytes()
        assert bridge.threads.started == 0
        until(lambda: bridge.request_threads.busy == 0)
        assert slow[0].receive_bytes(HUGE) == bytes(HUGE)
        for connection in slow[1:]:
            connection.vanish()
        until(lambda: bridge.admission.in_flight == 0)
        until(lambda: not is_open())


def test_files_do_not_wait_for_sync_views(serve: Serve, folder: Path) -> None:
    app, go = make_app(folder.parent), threading.Event()

    @app.get("/wait")
    def wait() -> str:
        go.wait(20)
        return "waited"

    address = serve(FlaskToAsgi(app, threads=1))
    with Connection(address) as connection:
        connection.send_request("GET", "/wait")
        assert fetch(address, "/static/a.css").head.status == 200
        go.set()
        assert connection.receive().body == b"waited"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        ("", None),
        ("br", None),
        ("gzip", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("x-gzip, identity", None),
        ("gzip, zstd", "zstd"),
        ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("gzip;q=0, zstd;q=0", None),
        ("*", "zstd"),
        ("*;q=0, gzip", "gzip"),
        ("gzip;q=0.1, identity;q=0.9", None),
        ("gzip;q=nonsense", None),
    ],
)
def test_the_encoded_file_that_is_liked_best_is_sent(
    serve: Serve, folder: Path, accepted: str | None, coding: str | None
) -> None:
    (folder / "a.css.gz").write_bytes(b"gzipped")
    (folder / "a.css.zst").write_bytes(b"zstandard")
    address = serve(FlaskToAsgi(make_app(folder.parent)))
    plain = fetch(address, "/static/a.css")
    fields = [] if accepted is None else [("Accept-Encoding", accepted)]
    response = fetch(address, "/static/a.css", fields=fields)
    assert response.head.one("content-encoding") == coding
    assert response.head.one("vary") == plain.head.one("vary") == "Accept-Encoding"
    expected = {None: plain.body, "gzip": b"gzipped", "zstd": b"zstandard"}
    assert response.body == expected[coding]
    assert (response.head.one("etag") == plain.head.one("etag")) is (coding is None)
    for name in ("content-type", "content-disposition", "cache-control"):
        assert response.head.one(name) == plain.head.one(name)
    etag = response.head.one("etag") or ""
    assert fetch(address, "/static/a.css", fields=[*fields, ("If-None-Match", etag)]).head.status == 304
    part = fetch(address, "/static/a.css", fields=[*fields, ("Range", "bytes=2-4")])
    assert (part.head.status, part.body) == (206, expected[coding][2:5])
    head = fetch(address, "/static/a.css", "HEAD", fields)
    assert head.head.one("content-length") == str(len(expected[coding]))


def test_an_encoded_file_that_is_older_or_no_file_or_alone_is_left(serve: Serve, folder: Path) -> None:
    gzip = [("Accept-Encoding", "gzip")]
    address = serve(FlaskToAsgi(make_app(folder.parent)))
    (folder / "a.css.gz").write_bytes(b"old")
    os.utime(folder / "a.css.gz", (1, 1))
    (folder / "empty.txt.gz").mkdir()
    (folder / "gone.css.gz").write_bytes(b"alone")
    for name, status in {"a.css": 200, "empty.txt": 200, "gone.css": 404}.items():
        response = fetch(address, f"/static/{name}", fields=gzip)
        assert (response.head.status, response.head.one("content-encoding")) == (status, None)
        assert response.head.one("vary") is None
    assert fetch(address, "/static/gone.css.gz").body == b"alone"


class OwnFiles(flask.Flask):
    def send_static_file(self, filename: str) -> flask.Response:
        return super().send_static_file(filename)


def hook(*_args: Any) -> None:
    pass


def replace_view(app: flask.Flask) -> None:
    app.view_functions["static"] = lambda filename: filename


Change = Callable[[flask.Flask], object]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _app: None, ""),
        (lambda app: app.before_request(hook), "the hook hook runs around it"),
        (lambda app: app.after_request(lambda response: response), "runs around it"),
        (lambda app: app.teardown_request(hook), "the hook hook runs around it"),
        (lambda app: app.teardown_appcontext(hook), "the hook hook runs around it"),
        (lambda app: app.before_request(nonblocking(lambda: None)), ""),
        (lambda app: setattr(app, "get_send_file_max_age", lambda _name: 1), "overrides get_send_file_max"),
        (lambda app: setattr(app, "wsgi_app", partial(app.wsgi_app)), "is not marked nonblocking"),
        (lambda app: app.config.update(ASHAPP_STATIC_FILES="thread"), "ASHAPP_STATIC_FILES is 'thread'"),
        (lambda app: app.config.update(ASHAPP_ASYNC_VIEWS="thread"), "ASHAPP_ASYNC_VIEWS is 'thread'"),
        (lambda app: on_thread(app.view_functions["static"]), "it is marked on_thread"),
        (replace_view, "sync view"),
    ],
)
def test_what_an_application_changes_is_left_to_a_thread(folder: Path, change: Change, reason: str) -> None:
    app = flask.Flask("shop", root_path=str(folder.parent))
    change(app)
    place = Placement(app).of("static")
    assert reason in place.reason
    assert place.serves_files is place.on_loop is (not reason)


def test_of_blueprints_their_own_hooks_and_methods_count(folder: Path) -> None:
    app = OwnFiles("shop", root_path=str(folder.parent))
    folders = {"static_folder": "static", "root_path": str(folder.parent)}
    plain, hooked = (flask.Blueprint(name, name, **folders) for name in ("plain", "hooked"))  # type: ignore[arg-type]
    hooked.before_request(hook)
    for part in (plain, hooked):
        app.register_blueprint(part, url_prefix=f"/{part.name}")
    assert endpoints_on_loop(app) == {"plain.static"}
    assert Placement(app).of("static") == Place(on_loop=False, reason="OwnFiles overrides send_static_file")
