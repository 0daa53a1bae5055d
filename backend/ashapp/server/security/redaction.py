# SPDX-License-Identifier: MIT
"""Take secrets out of the text of an exception, as far as they can be recognised.

Theory of operation. Drivers put their arguments into the exceptions that they raise: a whole DSN, the headers
of a request, the parameters of a statement. No rule tells for certain which part of a text is a secret. So it
is better to remove too much than too little: text where secrets usually are (in a URL before the host and
after the path, beside a name such as ``password``), text that looks like a secret (long, of letters and
digits), and the secrets among this process's variables. Only the first line is kept, as statements and their
parameters come later.
"""

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

__all__ = ["redact"]

_MASK = "***"
_REST = rf"\1{_MASK}"
# Characters: this much fits into a line of the log and a cell of a table.
_LONGEST = 300
# Longer text is cut before it is searched: patterns take their time.
_LONGEST_READ = 1000
# Shorter values of variables are words, such as "yes".
_SHORTEST_SECRET = 6

_NAME = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?|auth(?:orization)?|sig(?:nature)?|cookie"
    r"|session(?:[-_]?id)?|dsn|[a-z]*[-_ ]?key"
)
# None is compiled before it is needed: most services have no failing check.
_SECRET_VARIABLE = rf"(?i)(?:{_NAME})(?:$|_)"
_USERINFO = r"(?i)\b([a-z][a-z0-9+.-]*://)([^\s'\"<>]*)@"

_VALUE = r"""(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s,;&)\]}]+)"""
_REPLACEMENTS = (
    # Before the patterns for names: a key has an armour of dashes.
    (r"-----BEGIN.*", _MASK),
    (_USERINFO, rf"\1{_MASK}@"),
    # The query and the fragment of a URL.
    (r"(://[^\s?#'\"<>]*[?#])[^\s'\"<>]+", _REST),
    # RFC 9110, 11.4.
    (r"(?i)\b(bearer|basic|digest|negotiate)(\s+|%20)[^\s,;'\")]+", rf"\1\2{_MASK}"),
    # name=value, name: value, "name": "value", ('name', 'value').
    (
        rf"(?i)\b([\w.-]*(?:{_NAME})[\w-]*(?:['\"]?\s*(?:=>|:=|[=:])|['\"]\s*,)\s*(?:b(?=['\"]))?){_VALUE}",
        _REST,
    ),
    # The password 'value', the password is value1.
    (
        rf"(?i)\b((?:{_NAME})s?\s+(?:is\s+|was\s+)?)(?:b?'[^']*'|b?\"[^\"]*\"|`[^`]*`)",
        _REST,
    ),
    (rf"(?i)\b((?:{_NAME})\s+(?:is\s+|was\s+)?)\S*[\d!@#$%^&*]\S*", _REST),
    # A random text: it has a digit and a letter, and is long.
    (r"(?=[\w+=-]*\d)(?=[\w+=-]*[A-Za-z])[\w+=-]{20,}", _MASK),
)


def redact(text: str, variables: Mapping[str, str] = os.environ) -> str:
    """Return the first line of *text*, of at most 300 characters, without secrets and what looks like one."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if len(line) > _LONGEST_READ:
        line = line[:_LONGEST_READ].rpartition(" ")[0]
    for secret in sorted(_secrets(variables), key=len, reverse=True):
        line = line.replace(secret, _MASK)
    for pattern, replacement in _REPLACEMENTS:
        line = re.sub(pattern, replacement, line)
    line = "".join(character if character.isprintable() else " " for character in line)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def _secrets(variables: Mapping[str, str]) -> set[str]:
    """Return the values of variables that are secrets by their names, or by their places in URLs."""
    return {secret for name, value in variables.items() for secret in _secrets_of(name, value)}


def _secrets_of(name: str, value: str) -> Iterator[str]:
    found = [value] if re.search(_SECRET_VARIABLE, name) else []
    for match in re.finditer(_USERINFO, value):
        found += [match[2], match[2].partition(":")[2]]
    for secret in found:
        if len(secret) >= _SHORTEST_SECRET:
            yield from {secret, unquote(secret)}
