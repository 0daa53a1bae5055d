# SPDX-License-Identifier: MIT
"""Find the application that a target names, by the rules of Flask's own command line.

A target is ``module``, ``module:name`` or ``module:factory("argument", key=1)``, where ``module`` is a dotted
import name or the path of a file or folder, and ``name`` may have dots. The application may be of Flask, any
WSGI callable, or an ASGI application that this project's bridge has made of one.
"""

import ast
import inspect
import operator
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from flask.app import Flask
from werkzeug.local import LocalProxy

from ashapp.bridge import WsgiToAsgi
from ashapp.server.discovery.folder import seeming_targets
from ashapp.server.discovery.modules import import_target, told
from ashapp.server.errors import StartupError

__all__ = ["find_application", "find_mounted", "is_asgi"]

_NEEDS_ARGUMENTS = "; give it literal arguments, as in '{}(\"dev\")'"
_EXPECTED = "expected a Flask application, a WSGI callable, or a factory that returns one"


def find_application(target: str) -> object:
    """Import the target's module and return the application that the target names.

    Raises `StartupError` when there is none. Its cause is the exception of the application's code, if any.
    """
    return _checked(*_look_up(*import_target(target)))


def find_mounted(target: str) -> object:
    """Return what *target* names, which may also be an ASGI application.

    Raises `StartupError` when there is none.
    """
    module, expression = import_target(target)
    found, label = _look_up(module, expression, customary="app")
    return found if is_asgi(found) else _checked(found, label)


def _look_up(module: ModuleType, expression: str, *, customary: str | None = None) -> tuple[object, str]:
    """Return the object that *expression* names, or the application of *module*; and a name for messages.

    Without an expression, the object of the *customary* name is taken, whatever it is.
    """
    if expression:
        return _evaluate(module, expression)
    found, label = (
        _evaluate(module, customary) if customary and hasattr(module, customary) else _search(module)
    )
    return _bridged_by(module, found), label


def _bridged_by(module: ModuleType, found: object) -> object:
    """Return the bridge of *found* in *module*, if *module* has exactly one, else *found*.

    Otherwise its mounts, its lifespan and its limits would silently be ignored.
    """
    bridges = {
        id(value): value
        for value in vars(module).values()
        # ``type``, not ``isinstance``: a proxy may connect to a database to tell its class.
        if issubclass(type(value), WsgiToAsgi) and value.wsgi_application is found
    }
    return next(iter(bridges.values())) if len(bridges) == 1 else found


def _search(module: ModuleType) -> tuple[object, str]:
    """Find the application of a module as Flask does: by customary names, by type, by a factory."""
    label = module.__name__
    named = [getattr(module, name, None) for name in ("app", "application")]
    for found in named:
        if isinstance(found, (Flask, WsgiToAsgi)):
            return found, label
    instances = {id(value): value for value in vars(module).values() if isinstance(value, Flask)}
    if len(instances) == 1:
        return next(iter(instances.values())), label
    if len(instances) > 1:
        raise StartupError(f"module {label!r} has several Flask applications; name one: {_named(module)}")
    for name in ("create_app", "make_app"):
        factory = getattr(module, name, None)
        if inspect.isfunction(factory):
            return _call(factory, f"{label}:{name}", [], {})
    for found in named:
        if is_asgi(found) or _is_wsgi(found):
            return found, label
    within = (target for target in seeming_targets(Path.cwd()) if target.startswith(f"{label}."))
    raise StartupError(
        f"module {label!r} has no Flask application and no factory create_app or make_app; "
        f"name the application: {next(within, f'{label}:name')!r}"
    )


def _named(module: ModuleType) -> str:
    """Return the targets of the Flask applications that *module* has names for."""
    names = (name for name, value in vars(module).items() if isinstance(value, Flask))
    return ", ".join(f"'{module.__name__}:{name}'" for name in names)


def _evaluate(module: ModuleType, expression: str) -> tuple[object, str]:
    """Look up ``name``, ``name.attribute`` or a call of it with literal arguments."""
    try:
        name, arguments = _parse(expression)
    except (SyntaxError, ValueError):
        raise StartupError(
            f"{expression!r} is neither a name nor a call with literal arguments, as in 'create_app(\"dev\")'"
        ) from None
    try:
        found: Any = operator.attrgetter(name)(module)
    except AttributeError:
        others = _named(module)
        there = f"; there is {others}" if others else ""
        raise StartupError(f"module {module.__name__!r} has no {name!r}{there}") from None
    is_function = inspect.isfunction(found) or inspect.ismethod(found)
    label = f"{module.__name__}:{expression}"
    if arguments is None and not (is_function and _accepts(found)):
        return found, label
    return _call(found, label, *(arguments or ([], {})))


def _parse(expression: str) -> tuple[str, tuple[list[Any], dict[str, Any]] | None]:
    """Return the dotted name, and the arguments where it is called."""
    node = ast.parse(expression, mode="eval").body
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    name = ast.unparse(call.func)
    kwargs = {key.arg or "**": ast.literal_eval(key.value) for key in call.keywords}
    if not all(part.isidentifier() for part in (*name.split("."), *kwargs)):
        raise ValueError("not a dotted name, or a ** among the arguments")
    args = [ast.literal_eval(arg) for arg in call.args]
    return name, (args, kwargs) if call is node else None


def _call(factory: Any, label: str, args: list[Any], kwargs: dict[str, Any]) -> tuple[object, str]:
    if not callable(factory) or not _accepts(factory, *args, **kwargs):
        hint = _NEEDS_ARGUMENTS.format(label) if "(" not in label else ""
        if isinstance(factory, Flask):
            hint = ", which is named without parentheses"
        raise StartupError(f"{label} can't be called so: it is {_kind(factory)}{hint}")
    try:
        made = factory(*args, **kwargs)
    except (Exception, SystemExit) as error:
        raise StartupError(f"calling {label} failed: {told(error)}") from error
    if inspect.iscoroutine(made):
        made.close()
        raise StartupError(f"{label} is an async function; {_EXPECTED}")
    return made, f"what {label} returned"


def _checked(found: object, label: str) -> object:
    if isinstance(found, (Flask, WsgiToAsgi)):
        return found
    if is_asgi(found):
        raise StartupError(
            f"{label} is an ASGI application, {_kind(found)}, and needs no bridge: serve it with uvicorn"
        )
    if not _is_wsgi(found):
        hint = f"{_NEEDS_ARGUMENTS.format(label)}, if it is a factory" if inspect.isfunction(found) else ""
        raise StartupError(f"{label} is {_kind(found)}{hint}; {_EXPECTED}")
    return found


def is_asgi(found: object) -> bool:
    """Say whether *found* can be called as an ASGI application is.

    An object that raises when it is inspected is none: a proxy such as ``flask.request`` outside of a
    request, or an object whose ``__getattr__`` raises.
    """
    try:
        return callable(found) and any(map(inspect.iscoroutinefunction, (found, type(found).__call__)))
    except Exception:
        return False


def _is_wsgi(found: object) -> bool:
    if isinstance(found, LocalProxy):
        return False
    # PEP 3333 allows a class, one written in Python, whose instances are the iterables.
    if inspect.isclass(found) and not (hasattr(found, "__iter__") and inspect.isfunction(found.__init__)):
        return False
    return callable(found) and not is_asgi(found) and _accepts(found, {}, None)


def _accepts(function: Callable[..., object], *args: object, **kwargs: object) -> bool:
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:  # a callable of an extension module may have no signature to read
        pass
    return True


def _kind(found: object) -> str:
    if inspect.ismodule(found):
        return f"a module ({found.__name__})"
    if inspect.isclass(found):
        return f"the class {found.__qualname__}"
    if inspect.isfunction(found) or inspect.ismethod(found):
        return f"the function {found.__qualname__}{inspect.signature(found)}"
    return f"an object of type {type(found).__module__}.{type(found).__qualname__}".replace("builtins.", "")
