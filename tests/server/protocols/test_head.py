# SPDX-License-Identifier: MIT
import pytest

from ashapp.server.protocols.head import check_head, in_origin_form
from ashapp.server.protocols.limits import ConnectionLimits
from ashapp.server.protocols.refusal import Refusal

LIMITS = ConnectionLimits(target=20, fields=3, head=120)

GET = b"GET / HTTP/1.1\r\n"
HOST = b"Host: shop\r\n"


@pytest.mark.parametrize(
    "received",
    [
        b"",
        b"G",
        b"GET /" + b"x" * 19,
        b"GET /" + b"x" * 19 + b" HTTP/1.1",
        GET,
        GET[:-1],
        GET + HOST[:-1],
        GET + HOST + b"\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        GET + HOST + b"A: b\tc\r\nB:\xe9\r\n\r\n",
        GET + HOST + b"\r\n" + b"body \x00 \n \r" * 100,
        GET + HOST + b"Content-Length: 5\r\n\r\n",
        GET + HOST + b"Content-Length:\t5 \r\n\r\n",
        GET + HOST + b"Content-Length: ",
        GET + HOST + b"Transfer-Encoding: chunked\r\n\r\n",
        GET + HOST + b"X-Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        GET + b"A: " + b"x" * (120 - len(GET) - 7) + b"\r\n\r\n",
    ],
)
def test_what_is_right_so_far_passes(received: bytes) -> None:
    check_head(received, LIMITS)


@pytest.mark.parametrize(
    ("received", "status", "told"),
    [
        (b"GET /" + b"x" * 20, 414, "longer than 20 bytes"),
        (b"GET /" + b"x" * 20 + b" HTTP/1.1\r\n", 414, "longer than 20 bytes"),
        (GET + HOST * 4, 431, "more than 3 header fields"),
        (GET + b"A: " + b"x" * 120, 431, "longer than 120 bytes"),
        (GET + b"A: " + b"x" * (121 - len(GET) - 7) + b"\r\n\r\n", 431, "longer than 120 bytes"),
        (b"GET / HTTP/1.1\nHost: shop\n\n", 400, "stands alone"),
        (GET + b"Host: shop\nA: b\r\n", 400, "stands alone"),
        (GET + b"Host: shop\r\r\n", 400, "stands alone"),
        (GET + b"A: b\r\n c\r\n", 400, "continued"),
        (GET + b" A: b\r\n", 400, "continued"),
        (GET + b"A: b\x00c\r\n", 400, "control"),
        (b"GET /\x00 HTTP/1.1\r\n", 400, "control"),
        (GET + b"A: b\x7f\r\n", 400, "control"),
        (GET + b"Content-Length: 5\r\nContent-Length: 5\r\n", 400, "more than one"),
        (GET + b"content-length: 5\r\nCONTENT-LENGTH : 6\r\n", 400, "more than one"),
        (GET + b"Content-Length: 5, 5\r\n\r\n", 400, "not a number"),
        (GET + b"Content-Length:\r\n\r\n", 400, "not a number"),
        (GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400, "more than one"),
        (b"GET / HTTP/1.2\r\n", 505, "HTTP/1.0 and HTTP/1.1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.0 and HTTP/1.1"),
    ],
)
def test_what_is_wrong_is_refused_as_soon_as_it_can_be_told(received: bytes, status: int, told: str) -> None:
    with pytest.raises(Refusal, match=told) as refusal:
        check_head(received, LIMITS)
    assert refusal.value.status == status


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
    assert in_origin_form(b"GET", target, fields) == (path, [(b"a", b"b"), (b"host", b"shop:80")])


@pytest.mark.parametrize("target", [b"*", b"/a", b"//shop/a", b"/a@b"])
def test_a_path_and_an_asterisk_stay_as_they_are(target: bytes) -> None:
    fields = [(b"host", b"other")]
    assert in_origin_form(b"GET", target, fields) == (target, fields)


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
        in_origin_form(b"GET", target, [(b"host", b"other")])
    assert refusal.value.status == 400
    assert target.decode() not in refusal.value.detail
