"""What the limiter of a node writes down: an event on each line, as JSON, in a file that does not grow for ever."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

MOST_BYTES = 2**20


class EventLog:
    """A file of about `most_bytes` at most, and beside it the one before, `NAME.1`.

    `follower` is a descriptor that leads to the same file, as standard error's may.
    """

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES, follower: int | None = None) -> None:
        self._path, self._most_bytes, self._follower = path, most_bytes, follower
        self._open()

    def note(self, event: str, **what: Any) -> None:
        """Writes an event down, with the time of day in seconds since 1970; a number without bound is null."""
        if self._size >= self._most_bytes:
            self.close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._open()
        known = {name: None if value == math.inf else value for name, value in what.items()}
        line = json.dumps({"time": round(time.time(), 3), "event": event, **known}) + "\n"
        self._size += os.write(self._file, line.encode())

    def close(self) -> None:
        """Gives the file back."""
        os.close(self._file)

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size
        if self._follower is not None:
            os.dup2(self._file, self._follower)
