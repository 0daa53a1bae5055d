# SPDX-License-Identifier: MIT
import os
import queue
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from watchfiles import watch

from ashapp.server.supervisors import watcher
from ashapp.server.supervisors.watcher import FileWatcher
from tests.support.waiting import PATIENCE


def watching(folder: Path) -> tuple[FileWatcher, "queue.Queue[list[Path]]"]:
    told: queue.Queue[list[Path]] = queue.Queue()
    config = uvicorn.Config("shop:app", reload=True, reload_dirs=[str(folder)])
    return FileWatcher(config, told.put), told


def test_where_the_system_does_not_tell_of_changes_files_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def limited(*folders: Path, force_polling: bool | None, **options: Any) -> Any:
        if not force_polling:
            raise OSError(28, "No space left on device")
        return watch(*folders, force_polling=True, **options)

    monkeypatch.setattr(watcher, "watch", limited)
    files, told = watching(tmp_path)
    files.start()
    (tmp_path / "shop.py").touch()
    assert told.get(timeout=PATIENCE) == [tmp_path / "shop.py"]
    files.stop()
    assert "Files are polled for changes, as the system does not report them: " in caplog.text


def test_a_folder_that_can_not_be_watched_is_told_of_in_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    files, _ = watching(folder)
    files.start()
    files.stop()
    (message,) = caplog.messages
    assert message.startswith("Nothing is reloaded, as changes of files can't be seen: UnicodeEncodeError: ")
