"""Waits for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

_AGAIN_S = 0.05


def until(it_is_so: Callable[[], bool], what: str, patience_s: float = 120.0) -> None:
    """Asks again and again whether `what` is so, and fails if it is not in `patience_s`."""
    ends_s = time.monotonic() + patience_s
    while not it_is_so():
        assert time.monotonic() < ends_s, f"in {patience_s:g} s it did not come to this: {what}"
        time.sleep(_AGAIN_S)
