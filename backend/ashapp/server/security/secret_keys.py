# SPDX-License-Identifier: MIT
"""Tells whether a secret key can be guessed: by its length, its patterns, and the words in it.

Theory of operation. A random key has no patterns. So a byte counts only if the bytes before it do not predict
it. These do not count: the same byte again, the next byte of a sequence (``abcd``, ``4321``), a repeated
part, and the words of placeholders. Enough bytes must be left.
"""

import re
from itertools import pairwise

__all__ = ["SHORTEST_KEY", "is_weak"]

#: Bytes that a key must have.
SHORTEST_KEY = 16

# So many bytes must count, also beside words: a sequence, or a name of five letters, is no secret.
_FEWEST = 6
# Of 16 random hexadecimal digits, fewer are different only once in 10,000 keys.
_FEWEST_DIFFERENT = 6

# The words in placeholders of tutorials, templates and frameworks; longer words first.
_WORD = (
    r"application|development|placeholder|passphrase|production|qwertyuiop|asdfghjkl|generated"
    r"|something|generate|insecure|mysecret|password|precious|correct|default|example|letmein"
    r"|private|replace|session|signing|staging|testing|zxcvbnm|apikey|asdfgh|change|cookie"
    r"|django|foobar|insert|nobody|please|python|qwerty|random|really|sample|secret|secure"
    r"|should|string|strong|unsafe|admin|debug|dummy|enter|flask|guess|hello|known|never|super"
    r"|token|value|world|yours|demo|fake|here|long|none|null|prod|safe|some|test|this|todo|very"
    r"|well|will|with|your|app|dev|key|top|you"
)
# These are parts of other words, and of random keys: they count as words only where they stand alone.
_SHORT_WORD = (
    r"(?<![a-z0-9])(?:"
    r"a|abc|an|and|any|be|but|by|can|do|for|i|in|is|it|me|my|no|not|of|on|one|or|our|so|the|to"
    r"|use|we|xxx|xyz"
    r")(?![a-z0-9])"
)
_SEPARATOR = r"[!-/:-@\[-`{-~\s]+"


def is_weak(key: str | bytes) -> bool:
    """Return whether somebody could guess *key*."""
    value = key.encode() if isinstance(key, str) else key
    if len(value) < SHORTEST_KEY or len(set(value)) < _FEWEST_DIFFERENT:
        return True
    if _is_repeated(value) or _surprises(value) < _FEWEST:
        return True
    text = value.decode("latin-1").lower()
    # Compiled only where there is a key: that is a part of a start.
    rest = re.sub(_SHORT_WORD, "-", re.sub(_WORD, "-", text))
    return rest != text and _surprises(re.sub(_SEPARATOR, "", rest).encode("latin-1")) < _FEWEST


def _is_repeated(value: bytes) -> bool:
    """Return whether a part that is too short is repeated, the last time perhaps not to its end."""
    lengths = range(1, min(SHORTEST_KEY - 1, len(value) // 2) + 1)
    return any(value[length:] == value[:-length] for length in lengths)


def _surprises(value: bytes) -> int:
    """Return how many bytes are neither the one before nor next to it, up or down."""
    if not value:
        return 0
    return 1 + sum(abs(after - before) > 1 for before, after in pairwise(value))
