"""What commands say, a line at a time, and at once also where it goes into a file or a pipe."""

from __future__ import annotations

import sys
from datetime import UTC, datetime


def say(line: str) -> None:
    """What was asked for."""
    print(line, flush=True)


def say_when(line: str) -> None:
    """The same, and when it was."""
    say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ} {line}")


def progress(line: str) -> None:
    """What is going on meanwhile, for people only."""
    print(line, file=sys.stderr, flush=True)
