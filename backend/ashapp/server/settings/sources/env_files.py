# SPDX-License-Identifier: MIT
"""The files of variables that are read before the settings: a given one, and ``.env`` and ``.flaskenv``.

They are read as by ``flask run``: the nearest ones, from the current folder upwards, unless
FLASK_SKIP_DOTENV is set. A variable that is set keeps its value. Then the given file counts, then ``.env``.
"""

from pathlib import Path

__all__ = ["read_env_files"]

_NAMES = (".env", ".flaskenv")


def read_env_files(given: str | None) -> None:
    """Set the variables of the *given* file, if any, and of the customary ones.

    Raises:
        ValueError: there is no such file, or one can't be read.
    """
    if given:
        if not Path(given).is_file():
            raise ValueError(f"env_file = {given!r}: there is no such file")
        from dotenv import load_dotenv  # noqa: PLC0415 - for those who use it

        load_dotenv(given)
    try:
        _read_customary()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f".env or .flaskenv can't be read ({error}); FLASK_SKIP_DOTENV=1 goes on without"
        ) from None


def _read_customary() -> None:
    here = Path.cwd()
    if not any((folder / name).is_file() for folder in (here, *here.parents) for name in _NAMES):
        return
    from flask.cli import load_dotenv  # noqa: PLC0415 - for those who use it
    from flask.helpers import get_load_dotenv  # noqa: PLC0415 - as said

    if get_load_dotenv():
        load_dotenv()
