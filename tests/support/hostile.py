"""What attackers put where names and objects are expected, and how to see that nothing came of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

OUTSIDE = ("../outside", "a/../../outside", "/outside", "..", "a/..", "x\0y")
"""Paths that lead out of the folder that they are relative to, or may be cut to another one."""

NO_NAMES = ("..", ".", "../outside", "/outside", "a/b", "a\\b", "a b", "a\0b", "", "$(touch it_ran)", "-a", "é")
"""What no model may be called."""


class Runs:
    """Unpickled, it makes a file: a stand-in for any code."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)
