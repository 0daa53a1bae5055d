# SPDX-License-Identifier: MIT
import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest

from ashapp.observe.logs.log_files import reopen_log_files


@pytest.mark.parametrize("kind", [logging.FileHandler, RotatingFileHandler])
def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path, kind: type[logging.FileHandler]) -> None:
    before = reopen_log_files()
    logger = logging.getLogger("tests.log_files")
    handlers = [kind(tmp_path / "log"), kind(tmp_path / "late", delay=True)]
    for handler in handlers:
        logger.addHandler(handler)
    try:
        logger.warning("one")
        (tmp_path / "log").rename(tmp_path / "log.1")
        assert reopen_log_files() == before + 2
        logger.warning("two")
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
    assert [(tmp_path / name).read_text() for name in ("log.1", "log", "late")] == [
        "one\n",
        "two\n",
        "one\ntwo\n",
    ]
