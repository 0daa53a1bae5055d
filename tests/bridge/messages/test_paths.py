# SPDX-License-Identifier: MIT
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashapp.bridge.messages.paths import split_path
from tests.support.asgi import http_scope


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


@given(path=st.text(), raw_path=st.none() | st.binary(), root_path=st.text())
def test_no_scope_is_too_odd(path: str, raw_path: bytes | None, root_path: str) -> None:
    script_name, path_info, uri = split_path({"path": path, "raw_path": raw_path, "root_path": root_path})
    for text in (script_name, path_info, uri):
        text.encode("latin-1")
