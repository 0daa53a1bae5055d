# SPDX-License-Identifier: MIT
"""The async view of the benchmark, in FastAPI."""

import importlib
from typing import Any

__all__ = ["app"]

# By name: the package is installed for the benchmark alone, not where types are checked.
app: Any = importlib.import_module("fastapi").FastAPI()


async def hello() -> dict[str, str]:
    return {"message": "hello"}


app.get("/async")(hello)
