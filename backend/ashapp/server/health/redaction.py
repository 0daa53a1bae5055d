# SPDX-License-Identifier: MIT
"""Take secrets out of the text of an exception, as far as they can be told.

Theory of operation. Drivers put what they were given into what they raise: a whole DSN, the headers of a
request, the parameters of a statement. Nothing tells for certain which part of a text is a secret, so rather
too much is taken out than too little: what stands where secrets stand (in a URL before the host and after the
path, beside a name such as ``password``), what looks like one (long, of letters and digits), what is one by
the variables of this process. Of several lines only the first is kept, as statements and their parameters
follow.
"""

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

__all__ = ["redact"]

_MASK = "***"
_REST = rf"\1{_MASK}"
# Characters, that a line of the log and a cell of a table hold.
_LONGEST = 300
# More is not looked at: patterns take their time.
_LONGEST_READ = 1000
# Shorter values of variables are words, such as "yes".
_SHORTEST_SECRET = 6

_NAME = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?|auth(?:orization)?|sig(?:nature)?|cookie"
    r"|session(?:[-_]?id)?|dsn|[a-z]*[-_ ]?key"
)
_SECRET_VARIABLE = re.compile(rf"(?:{_NAME})(?:$|_)", re.IGNORECASE)
_USERINFO = re.compile(r"\b([a-z][a-z0-9+.-]*://)([^\s'\"<>]*)@", re.IGNORECASE)

_VALUE = r"""(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s,;&)\]}]+)"""
_REPLACEMENTS = (
    # Before the names: a key stands in an armour of dashes.
    (re.compile(r"-----BEGIN.*"), _MASK),
    (_USERINFO, rf"\1{_MASK}@"),
    # The query and the fragment of a URL.
    (re.compile(r"(://[^\s?#'\"<>]*[?#])[^\s'\"<>]+"), _REST),
    # RFC 9110, 11.4.
    (re.compile(r"\b(bearer|basic|digest|negotiate)(\s+|%20)[^\s,;'\")]+", re.IGNORECASE), rf"\1\2{_MASK}"),
    # name=value, name: value, "name": "value", ('name', 'value').
    (
        re.compile(
            rf"\b([\w.-]*(?:{_NAME})[\w-]*(?:['\"]?\s*(?:=>|:=|[=:])|['\"]\s*,)\s*(?:b(?=['\"]))?){_VALUE}",
            re.IGNORECASE,
        ),
        _REST,
    ),
    # The password 'value', the password is value1.
    (
        re.compile(
            rf"\b((?:{_NAME})s?\s+(?:is\s+|was\s+)?)(?:b?'[^']*'|b?\"[^\"]*\"|`[^`]*`)", re.IGNORECASE
        ),
        _REST,
    ),
    (re.compile(rf"\b((?:{_NAME})\s+(?:is\s+|was\s+)?)\S*[\d!@#$%^&*]\S*", re.IGNORECASE), _REST),
    # What nobody has made up: it has a digit and a letter, and is long.
    (re.compile(r"(?=[\w+=-]*\d)(?=[\w+=-]*[A-Za-z])[\w+=-]{20,}"), _MASK),
)


def redact(text: str, variables: Mapping[str, str] = os.environ) -> str:
    """Return the first line of *text*, without what is or looks like a secret, of at most 300 characters."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if len(line) > _LONGEST_READ:
        line = line[:_LONGEST_READ].rpartition(" ")[0]
    for secret in sorted(_secrets(variables), key=len, reverse=True):
        line = line.replace(secret, _MASK)
    for pattern, replacement in _REPLACEMENTS:
        line = pattern.sub(replacement, line)
    line = "".join(character if character.isprintable() else " " for character in line)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def _secrets(variables: Mapping[str, str]) -> set[str]:
    """Return the values of variables that are secrets by their names, or by their places in URLs."""
    return {secret for name, value in variables.items() for secret in _secrets_of(name, value)}


def _secrets_of(name: str, value: str) -> Iterator[str]:
    found = [value] if _SECRET_VARIABLE.search(name) else []
    for match in _USERINFO.finditer(value):
        found += [match[2], match[2].partition(":")[2]]
    for secret in found:
        if len(secret) >= _SHORTEST_SECRET:
            yield from {secret, unquote(secret)}
