"""A terminal that a command is run in, for what it shows only there."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from types import TracebackType
from typing import Self

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A pseudo-terminal; `inner` is the end that the command gets as its output."""

    def __init__(self) -> None:
        self._outer, self.inner = pty.openpty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        for end in (self._outer, self.inner):
            if end >= 0:
                os.close(end)

    def shown(self, process: subprocess.Popen[str]) -> str:
        """All that a command has shown when it has ended, which it must do well; without colours and moves."""
        os.close(self.inner)
        self.inner, read = -1, b""
        while True:
            try:
                read += os.read(self._outer, 65_536)
            except OSError:  # nobody has the other end open any more
                break
        assert process.wait() == 0, read
        return CODES.sub("", read.decode())
