# SPDX-License-Identifier: MIT
import random
import string

import pytest

from ashapp.server.assembly.secret_keys import is_weak


@pytest.mark.parametrize(
    "key",
    [
        "dev",
        b"fifteen bytes..",
        "a" * 24,
        b"\0" * 32,
        "aaaaaaaabbbbbbbb",
        "abababababababababab",
        "0000000000000001",
        "1234567890123456",
        "0123456789abcdef",
        "zyxwvutsrqponmlk",
        "secretsecretsecret",
        "hello world hello world",
        "qwertyuiopasdfghjkl",
        "supersecretkey123",
        "Your-Secret-Key-Here",
        "my_precious_secret_key",
        "you-will-never-guess",
        "thisisaverysecretkey",
        "dev-secret-key-change-in-production",
        "change-this-to-a-random-string",
        "django-insecure-key-please-change",
        "my-super-secret-key-shop",
    ],
)
def test_what_can_be_guessed_is_weak(key: str | bytes) -> None:
    assert is_weak(key)


@pytest.mark.parametrize(
    "alphabet", [string.hexdigits[:16], string.ascii_letters + string.digits + "-_", [*map(chr, range(256))]]
)
def test_what_a_generator_gives_is_strong(alphabet: str) -> None:
    numbers = random.Random(5)
    keys = ["".join(numbers.choices(alphabet, k=length)) for length in (16, 24, 64) for _ in range(300)]
    assert [key for key in keys if is_weak(key.encode("latin-1"))] == []


def test_a_sentence_of_other_words_is_strong() -> None:
    assert not is_weak("correct horse battery staple")
