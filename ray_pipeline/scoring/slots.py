"""Places at the server for the batches of one model, whichever chunk they are of."""

from __future__ import annotations

import threading

from ray_pipeline.scoring.window import Window


class Slots:
    """As many as the window says; all methods may be called from any thread."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._taken = 0
        self._freed = threading.Condition()

    def take(self, *, wait: bool) -> int:
        """Takes one and gives how many are taken then; 0 if none is free, unless one is to be waited for."""
        with self._freed:
            while self._taken >= self._window.size:
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
