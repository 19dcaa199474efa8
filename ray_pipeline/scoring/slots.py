"""Places at the server for the batches of one model, whichever chunk they are of."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ray_pipeline.scoring.window import Window


class Slots:
    """As many as the window says, of which those that are `permitted` are at the server; for any thread.

    Where the window is all that is permitted, others may have permits as well, and one place more is for a batch that
    waits for its permit: a job that asked only when it is done with an answer would lose its turn to them.
    """

    def __init__(self, window: Window, permitted: Callable[[], int]) -> None:
        self._window, self._permitted = window, permitted
        self._taken = 0
        self._freed = threading.Condition()

    def take(self, *, wait: bool) -> int:
        """Takes one and gives how many are taken then; 0 if none is free, unless one is to be waited for."""
        with self._freed:
            while self._taken >= self._size():
                if not wait:
                    return 0
                self._freed.wait()
            self._taken += 1
            return self._taken

    def free(self, count: int = 1) -> None:
        """Gives so many back."""
        with self._freed:
            self._taken -= count
            self._freed.notify_all()

    def _size(self) -> int:
        size = self._window.size
        return size + 1 if self._permitted() == size else size
