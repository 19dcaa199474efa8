"""Waiting for a server that may come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import stamina

from ray_pipeline.errors import FatalError, RetryableError

_Answer = TypeVar("_Answer")
_LONGEST_PAUSE_S = 5.0


def waited_for(attempt: Callable[[], _Answer], timeout_s: float) -> _Answer:
    """Repeats `attempt` while it raises RetryableError, with growing, jittered pauses, for `timeout_s` at most.

    Raises FatalError, saying how long it was tried, when the time is over. Other errors pass through at once.
    """
    tries = 0
    try:
        for again in stamina.retry_context(
            on=RetryableError, attempts=None, timeout=timeout_s, wait_max=_LONGEST_PAUSE_S
        ):
            with again:
                tries += 1
                return attempt()
    except RetryableError as error:
        raise FatalError(f"{error}; tried {tries} times over {timeout_s:g} s. Is the server running?") from error
    raise AssertionError("stamina ends by returning or raising")
