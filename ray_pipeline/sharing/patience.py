"""How long to wait before something is tried again."""

from __future__ import annotations

FIRST_S, LONGEST_S = 0.5, 8.0


class Patience:
    """Pauses that double as long as nothing comes of trying. Times are those of the caller's clock."""

    def __init__(self, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._pause_s = first_s
        self._until_s = float("-inf")

    def pausing(self, now_s: float) -> bool:
        """Whether it is not yet time to try again."""
        return now_s < self._until_s

    def failed(self, now_s: float) -> None:
        """It was tried in vain; what fails within a pause counts once."""
        if not self.pausing(now_s):
            self._until_s = now_s + self._pause_s
            self._pause_s = min(2 * self._pause_s, self._longest_s)

    def succeeded(self) -> None:
        """It went well: the next pause is short again."""
        self._pause_s = self._first_s
