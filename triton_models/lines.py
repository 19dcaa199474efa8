"""What commands say, a line at a time, and at once also where it goes into a file or a pipe."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """What was asked for."""
    print(line, flush=True)


def progress(line: str) -> None:
    """What is going on meanwhile, for people only."""
    print(line, file=sys.stderr, flush=True)
