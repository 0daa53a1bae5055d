# SPDX-License-Identifier: MIT
"""Records of named values. All values are checked when a record is made, and all errors told at once."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

from ashapp.server.validation.kinds import Kind

__all__ = ["Field", "Record", "Wrong", "WrongValuesError", "field", "shown", "suggestion"]

_LONGEST_VALUE = 100

# The default of a value that must be given.
_REQUIRED = ...

# Makes a default of the values before it.
_Derive = Callable[[Mapping[str, Any]], Any]


class Field(NamedTuple):
    """The kind of one value of a record, and its default, or what derives that from earlier values."""

    kind: Kind
    default: Any = _REQUIRED
    derive: _Derive | None = None

    def made_of(self, values: Mapping[str, Any]) -> Any:
        """Return the default, where *values* are those of the fields before; raise ``ValueError`` without."""
        if self.derive is not None:
            return self.derive(values)
        if self.default is _REQUIRED:
            raise ValueError(self.kind.allowed)
        return self.default


def field(kind: Kind, default: Any = _REQUIRED, *, derive: _Derive | None = None) -> Any:
    """Declare a field, as in ``port: int = ...``. None may be given where it is the *default*."""
    return Field(kind, default, derive)


class Wrong(NamedTuple):
    """Why the *value* for a *name* is refused; there is no *reason* if no field has that name."""

    name: str
    value: Any
    reason: str | None


class WrongValuesError(ValueError):
    """All that is *wrong* with the values for a record. Its text has no values: some are secret."""

    def __init__(self, wrong: list[Wrong]) -> None:
        super().__init__(
            "; ".join(f"{each.name}: {each.reason or 'there is no such name'}" for each in wrong)
        )
        self.wrong = wrong


class Record:
    """A record that doesn't change. Its fields are those of its class, and of what that inherits from.

    A class may have a ``_check``, which raises ``ValueError`` for values that do not go together.

    Raises:
        WrongValuesError: values are wrong, or there is none where one must be given.
        ValueError: the values do not go together.
    """

    #: The fields by their names. Those of the last base come first.
    fields: ClassVar[Mapping[str, Field]] = {}
    title: ClassVar[str] = ""

    # Whether a number must be a number, not a text that stands for it.
    _is_strict: ClassVar[bool] = False

    #: The names that were given.
    given: frozenset[str]

    def __init_subclass__(cls, *, title: str = "", more: Mapping[str, Field] | None = None) -> None:
        """Collect its fields: *more* of them besides the ones in its body."""
        cls.title = title
        for name, each in (more or {}).items():
            setattr(cls, name, each)
        attributes = [pair for base in reversed(cls.__mro__) for pair in vars(base).items()]
        cls.fields = {name: each for name, each in attributes if isinstance(each, Field)}

    def __init__(self, /, **given: Any) -> None:
        wrong = [Wrong(name, value, None) for name, value in given.items() if name not in self.fields]
        values = vars(self)
        for name, each in self.fields.items():
            try:
                if name not in given:
                    values[name] = each.made_of(values)
                elif given[name] is None is each.default:
                    values[name] = None
                else:
                    values[name] = each.kind.parse(given[name], is_strict=self._is_strict)
            except ValueError as error:
                wrong.append(Wrong(name, given.get(name, _REQUIRED), str(error)))
        if wrong:
            raise WrongValuesError(wrong)
        values["given"] = frozenset(given)
        for base in reversed(type(self).__mro__):
            if "_check" in vars(base):
                vars(base)["_check"](self)

    def __setattr__(self, name: str, _: object) -> None:
        """Refuse it."""
        raise AttributeError(f"{name} of {type(self).__name__} can't be set: it doesn't change")

    def values(self) -> dict[str, Any]:
        """Return the values by their names."""
        return {name: getattr(self, name) for name in self.fields}

    def replaced(self, /, **values: Any) -> Self:
        """Return one with other *values*, which are not checked."""
        other = object.__new__(type(self))
        vars(other).update(vars(self), **values)
        return other


def shown(value: Any) -> str:
    """Return *value* for a message, shortened."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return the end of a message that suggests one of *names* for *name*; empty if none is similar."""
    close = difflib.get_close_matches(name.replace("-", "_").lower(), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
