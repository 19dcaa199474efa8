"""How fast a server runs a job's batches, and so how large one may be that has to end in time. Pure arithmetic."""

from __future__ import annotations

from collections import deque

_KEPT = 16


class Pace:
    """The seconds that an element (a token, a number) takes, by the last batches; rows of a batch are alike in length.

    A small batch takes longer for each element than a large one, as every batch costs something of its own. So when
    batches shrink or grow, what is told is that of their present size after a few of them. One in four of these was
    quicker than what is told: most wait for somebody now and then, and nobody waits for them meanwhile.
    """

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_KEPT)

    def learn(self, elements: int, seconds: float) -> None:
        """Takes a batch that was answered."""
        self._seconds.append(seconds / max(elements, 1))

    def seconds(self, elements: int) -> float:
        """How long a batch is expected to run; 0 while nothing is known."""
        return elements * sorted(self._seconds)[len(self._seconds) // 4] if self._seconds else 0.0

    def rows(self, elements_of_row: int, batch_s: float) -> int:
        """How many rows of so many elements run for about `batch_s` seconds: one at least, also while nothing is known.

        The nearest number, and not the next smaller one: the limiter corrects the average of what comes of it.
        """
        if not self._seconds:
            return 1
        return max(1, round(batch_s / max(self.seconds(elements_of_row), 1e-9)))
