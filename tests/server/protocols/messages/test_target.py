# SPDX-License-Identifier: MIT
import pytest

from ashapp.server.protocols.messages.refusal import Refusal
from ashapp.server.protocols.messages.target import in_origin_form


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://shop:80/a?b=c", b"/a?b=c"),
        (b"HTTPS://shop:80/a", b"/a"),
        (b"http://shop:80/http://other/", b"/http://other/"),
        (b"http://shop:80", b"/"),
        (b"http://shop:80/a#b", b"/a"),
        (b"http://shop:80?b=c", b"/?b=c"),
    ],
)
def test_a_target_in_absolute_form_is_taken_apart(target: bytes, path: bytes) -> None:
    fields = [(b"a", b"b"), (b"host", b"other")]
    assert in_origin_form(target, fields) == (path, [(b"a", b"b"), (b"host", b"shop:80")])


@pytest.mark.parametrize("target", [b"*", b"/a", b"//shop/a", b"/a@b"])
def test_a_path_and_an_asterisk_stay_as_they_are(target: bytes) -> None:
    fields = [(b"host", b"other")]
    assert in_origin_form(target, fields) == (target, fields)


@pytest.mark.parametrize(
    "target",
    [
        b"shop:80",
        b"shop/a",
        b"http:///a",
        b"http://",
        b"http://me@shop/",
        b"https://me:secret@shop/",
        b"HTTP://@shop/",
        b"http://me@other@shop/a",
        b"ftp://shop/a",
        b"**",
    ],
)
def test_what_is_no_target_for_a_server_is_refused_without_a_word_of_it(target: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        in_origin_form(target, [(b"host", b"other")])
    assert refusal.value.status == 400
    assert target.decode() not in refusal.value.detail
