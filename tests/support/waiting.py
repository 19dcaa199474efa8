"""Waits for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_AGAIN_S = 0.05

T = TypeVar("T")


def until(asked: Callable[[], T], what: str, patience_s: float = 20.0) -> T:
    """Asks again and again, and gives the first answer that is not false or empty; fails if `what` is not in time."""
    ends_s = time.monotonic() + patience_s
    while not (answer := asked()):
        assert time.monotonic() < ends_s, f"in {patience_s:g} s it did not come to this: {what}"
        time.sleep(_AGAIN_S)  # no event tells of what others do
    return answer
