# SPDX-License-Identifier: MIT
"""What each setting is for: the docstring below it.

It is read from the source where it is asked for, as on the help page: at each start it would be half of what
the settings cost.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise

from ashapp.server.settings.model import Settings

__all__ = ["descriptions"]


@cache
def descriptions() -> Mapping[str, str]:
    """Return what each setting is for, by its name; a setting that is described by uvicorn is left out."""
    modules = {sys.modules[group.__module__] for group in Settings.__bases__}
    return {
        name: text for module in modules for name, text in _described(ast.parse(inspect.getsource(module)))
    }


def _described(tree: ast.Module) -> Iterator[tuple[str, str]]:
    groups = [statement for statement in tree.body if isinstance(statement, ast.ClassDef)]
    for field, after in (pair for group in groups for pair in pairwise(group.body)):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match after:
                case ast.Expr(ast.Constant(str(text))):
                    yield field.target.id, inspect.cleandoc(text)
