# SPDX-License-Identifier: MIT
import io
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashapp.bridge.messages.environ import (
    body_is_announced,
    build_environ,
    expects_continue,
    server_constants,
)
from ashapp.bridge.messages.errors import RequestRejected
from ashapp.bridge.messages.file_wrapper import BLOCK_SIZE, file_wrapper
from ashapp.bridge.messages.paths import split_path
from tests.support.asgi import http_scope

CONSTANTS = server_constants(multithread=True, multiprocess=False)


def environ_of(*args: Any, **entries: Any) -> dict[str, Any]:
    return build_environ(http_scope(*args, **entries), io.BytesIO(), CONSTANTS, 100)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"scheme": "https"}, {"wsgi.url_scheme": "https", "HTTPS": "on", "SERVER_PORT": "8000"}),
        ({"scheme": ""}, {"wsgi.url_scheme": "http", "HTTPS": None}),
        ({"http_version": "1.0"}, {"SERVER_PROTOCOL": "HTTP/1.0"}),
        ({"http_version": "2"}, {"SERVER_PROTOCOL": "HTTP/2.0"}),
        ({"http_version": "3"}, {"SERVER_PROTOCOL": "HTTP/3.0"}),
        ({"http_version": "4.2"}, {"SERVER_PROTOCOL": "HTTP/4.2"}),
        ({"client": None}, {"REMOTE_ADDR": "", "REMOTE_PORT": None}),
        ({"client": ("2001:db8::1", 0)}, {"REMOTE_ADDR": "2001:db8::1", "REMOTE_PORT": "0"}),
        ({"server": None}, {"SERVER_NAME": "localhost", "SERVER_PORT": "80"}),
        ({"server": None, "scheme": "https"}, {"SERVER_NAME": "localhost", "SERVER_PORT": "443"}),
        ({"server": ("/run/app.sock", None)}, {"SERVER_NAME": "localhost", "SERVER_PORT": "80"}),
        ({"server": ("::1", 5000)}, {"SERVER_NAME": "::1", "SERVER_PORT": "5000"}),
        ({"query_string": b"\xff&a=\xc3\xa9"}, {"QUERY_STRING": "\xff&a=\xc3\xa9"}),
    ],
)
def test_environ_of_other_scopes(entries: dict[str, Any], expected: dict[str, Any]) -> None:
    environ = environ_of(**entries)
    assert {key: environ.get(key) for key in expected} == expected


def test_entries_that_only_a_transport_in_the_process_can_give_are_merged() -> None:
    entries = {"wsgi.errors": io.StringIO(), "test.key": object(), "REMOTE_USER": "me"}
    environ = environ_of(extensions={"wsgi.environ": entries, "other": {"X": 1}})
    own = {name: environ[name] for name in ("asgi.scope", "wsgi.input")}
    assert environ == {**environ_of(), **entries, **own}


def test_environ_of_the_least_scope() -> None:
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/"}
    environ = build_environ(scope, io.BytesIO(), CONSTANTS, 100)
    assert environ["PATH_INFO"] == environ["REQUEST_URI"] == "/"
    assert environ["QUERY_STRING"] == environ["SCRIPT_NAME"] == environ["REMOTE_ADDR"] == ""
    assert all(isinstance(environ[key], str) for key in environ if key.isupper())


@pytest.mark.parametrize(
    ("root_path", "target", "script_name", "path_info"),
    [
        ("", b"/", "", "/"),
        ("", b"", "", "/"),
        ("", b"*", "", "*"),
        ("/", b"/x", "", "/x"),
        ("/api", b"/api/x", "/api", "/x"),
        ("/api/", b"/api/x", "/api", "/x"),
        ("/api", b"/api", "/api", ""),
        ("/api", b"/api/", "/api", "/"),
        ("/api", b"/api//x", "/api", "//x"),
        ("/api", b"/apiv2", "/api", "/apiv2"),
        ("/api", b"/x", "/api", "/x"),
        ("/api", b"/a%70i/x", "/api", "/x"),
        ("/\u00e9", b"/%C3%A9/x", "/\xc3\xa9", "/x"),
        ("/\u00e9", b"/%E9/x", "/\xc3\xa9", "/\xe9/x"),
    ],
)
def test_root_path_ends_at_a_slash(root_path: str, target: bytes, script_name: str, path_info: str) -> None:
    quoted = target.decode("latin-1") or "/"
    assert split_path(http_scope(target=target, root_path=root_path)) == (script_name, path_info, quoted)


@pytest.mark.parametrize(
    ("path", "raw_path", "path_info", "uri"),
    [
        pytest.param("/\u00e9", None, "/\xc3\xa9", "/%C3%A9", id="no raw path"),
        pytest.param("/new", b"/old", "/new", "/new", id="a middleware rewrote the path"),
        pytest.param("/a%20b", b"/a%20b", "/a%20b", "/a%2520b", id="a path that was not unquoted"),
        pytest.param("/a b", None, "/a b", "/a%20b", id="needs quoting"),
        pytest.param("/:@!$&'()*+,;=~", None, "/:@!$&'()*+,;=~", "/:@!$&'()*+,;=~", id="needs no quoting"),
        pytest.param("/\udce9", b"/%E9", "/\xe9", "/%E9", id="decoded with surrogateescape"),
        pytest.param("/\ufffd", b"/%E9", "/\xe9", "/%E9", id="decoded with replacement"),
        pytest.param("/\ud800", None, "/\xed\xa0\x80", "/%ED%A0%80", id="lone surrogate"),
        pytest.param("/\u00e9", "/\u00e9".encode(), "/\xc3\xa9", "/\xc3\xa9", id="raw path not quoted"),
    ],
)
def test_path_and_raw_path(path: str, raw_path: bytes | None, path_info: str, uri: str) -> None:
    assert split_path(http_scope(path=path, raw_path=raw_path)) == ("", path_info, uri)


@given(path=st.binary(), query=st.binary(), errors=st.sampled_from(["replace", "surrogateescape"]))
def test_paths_and_queries_pass_byte_for_byte(path: bytes, query: bytes, errors: str) -> None:
    path = b"/" + path
    raw_path = quote_from_bytes(path).encode()
    environ = environ_of(
        path=unquote(raw_path.decode(), errors=errors), raw_path=raw_path, query_string=query
    )
    assert environ["PATH_INFO"].encode("latin-1") == path
    assert environ["QUERY_STRING"].encode("latin-1") == query
    uri, _, behind = environ["REQUEST_URI"].encode("latin-1").partition(b"?")
    assert (unquote_to_bytes(uri), behind) == (path, query)


@given(path=st.text(), raw_path=st.none() | st.binary(), root_path=st.text())
def test_no_scope_is_too_odd(path: str, raw_path: bytes | None, root_path: str) -> None:
    script_name, path_info, uri = split_path({"path": path, "raw_path": raw_path, "root_path": root_path})
    for text in (script_name, path_info, uri):
        text.encode("latin-1")


@pytest.mark.parametrize(
    ("method", "version", "headers", "announced"),
    [
        ("GET", "1.1", [], False),
        ("POST", "1.1", [], False),
        ("POST", "1.0", [], False),
        ("POST", "1.1", [(b"content-length", b"0")], False),
        ("POST", "1.1", [(b"content-length", b"000")], False),
        ("POST", "1.1", [(b"content-length", b"10")], True),
        ("GET", "1.1", [(b"content-length", b"1")], True),
        ("GET", "1.1", [(b"transfer-encoding", b"chunked")], True),
        ("GET", "2", [], False),
        ("HEAD", "3", [], False),
        ("POST", "2", [], True),
        ("DELETE", "3", [], True),
        ("POST", "2", [(b"content-length", b"0")], False),
        ("GET", "2", [(b"content-length", b"1")], True),
    ],
)
def test_body_is_announced(
    method: str, version: str, headers: list[tuple[bytes, bytes]], *, announced: bool
) -> None:
    assert body_is_announced(environ_of(method, b"/", headers, http_version=version)) is announced


@pytest.mark.parametrize("coding", [b"Chunked", b"chunked \t"])
def test_a_chunked_body_is_understood(coding: bytes) -> None:
    assert body_is_announced(environ_of(headers=[(b"transfer-encoding", coding)]))


@pytest.mark.parametrize("codings", [[b"gzip, chunked"], [b"gzip", b"chunked"], [b"identity"], [b""]])
def test_other_transfer_codings_are_not(codings: list[bytes]) -> None:
    environ = environ_of(headers=[(b"transfer-encoding", coding) for coding in codings])
    with pytest.raises(RequestRejected, match="'chunked'") as rejection:
        body_is_announced(environ)
    assert rejection.value.status == 501


@pytest.mark.parametrize(
    ("value", "expected"), [(b"100-continue", True), (b"100-Continue", True), (b"other", False), (b"", False)]
)
def test_expects_continue(value: bytes, *, expected: bool) -> None:
    assert expects_continue(environ_of(headers=[(b"expect", value)])) is expected
    assert expects_continue(environ_of()) is False


# -- wsgi.file_wrapper

SIZE = 3 * BLOCK_SIZE + 1


@pytest.mark.parametrize(
    ("asked", "blocks"),
    [
        (8192, [BLOCK_SIZE] * 3 + [1]),
        (2 * BLOCK_SIZE, [2 * BLOCK_SIZE, BLOCK_SIZE + 1]),
    ],
)
def test_a_regular_file_is_read_in_large_blocks(tmp_path: Path, asked: int, blocks: list[int]) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(SIZE))
    with path.open("rb") as file:
        assert [len(block) for block in file_wrapper(file, asked)] == blocks


def test_a_pipe_is_read_as_asked() -> None:
    out, into = os.pipe()
    with open(out, "rb") as reader, open(into, "wb") as writer:  # noqa: PTH123 - these are descriptors
        writer.write(bytes(2500))
        writer.close()
        assert [len(block) for block in file_wrapper(reader, 1000)] == [1000, 1000, 500]


class Bare:
    """A file by PEP 3333: it has a ``read`` and nothing else."""

    def __init__(self) -> None:
        self.read = io.BytesIO(bytes(20_000)).read


class Remote(Bare):
    """One that says only when it is asked that it has no descriptor, or whose descriptor is none."""

    def __init__(self, descriptor: object) -> None:
        super().__init__()
        self._descriptor = descriptor

    def fileno(self) -> object:
        if isinstance(self._descriptor, type):
            raise self._descriptor
        return self._descriptor


@pytest.mark.parametrize(
    "file",
    [io.BytesIO(bytes(20_000)), Bare(), Remote(NotImplementedError), Remote(None), Remote(-1)],
    ids=["no descriptor", "read only", "raises", "none", "closed"],
)
def test_other_files_are_read_as_asked(file: Any) -> None:
    assert [len(block) for block in file_wrapper(file)] == [8192, 8192, 3616]


def test_the_file_is_closed_with_its_wrapper() -> None:
    file = io.BytesIO()
    file_wrapper(file).close()
    assert file.closed
    assert not hasattr(file_wrapper(Bare()), "close")
