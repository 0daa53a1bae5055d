# SPDX-License-Identifier: MIT
import hashlib
import io
import tracemalloc

import pytest
from flask.testing import FlaskClient

from ashapp.api import create_app

MIB = 1024**2


class Zeros(io.RawIOBase):
    """An unbuffered stream of so many zero bytes, that remembers the largest read it was asked for."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.largest = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # narrower than Buffer
        self.largest = max(self.largest, len(buffer))
        count = min(self.left, len(buffer))
        buffer[:count] = bytes(count)
        self.left -= count
        return count


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("data", [b"", b"abc", b"\0" * 65536, b"x" * 65537, b"x" * 200_000])
def test_size_and_digest(client: FlaskClient, method: str, data: bytes) -> None:
    response = client.open("/upload", method=method, data=data, content_type="application/x-thing")
    assert response.status_code == 200
    assert response.get_json() == {
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "content_type": "application/x-thing",
    }


@pytest.mark.parametrize("environ", [{"CONTENT_LENGTH": str(64 * MIB)}, {"wsgi.input_terminated": True}])
def test_memory_is_bounded_whatever_the_size(environ: dict[str, object]) -> None:
    stream = Zeros(64 * MIB)
    client = create_app().test_client()
    client.post("/upload", data=b"warm up")
    tracemalloc.start()
    try:
        response = client.post("/upload", environ_overrides={"wsgi.input": stream, **environ})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert response.get_json()["size"] == 64 * MIB
    assert peak < 4 * MIB
    assert stream.largest <= MIB
