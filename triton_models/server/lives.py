"""When a server that died is started again, and when it is given up. Pure arithmetic: seconds in, seconds out."""

from __future__ import annotations

MOST_FAILED_STARTS = 5
"""A server that does not come up so many times in a row will not come up the next time either."""

MOST_SHORT_LIVES = 100
"""A row that kills its server takes some twenty lives until it stands alone and is rejected, and there may be more such
rows in a chunk. A server that goes on dying without one is another matter."""

_SHORT_S = 10.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 5.0
_BETWEEN_LIVES_S = 0.1


class Lives:
    """The lives of one server, one after the other."""

    def __init__(self) -> None:
        self._failed_starts = 0
        self._short = 0

    def pause_s(self, lived_s: float | None) -> float | None:
        """The seconds to wait before the next start after a life of so many; None when the server is to be given up.

        `lived_s` counts from the moment that the server was ready; None is for a start that failed.
        """
        if lived_s is None:
            self._failed_starts += 1
            if self._failed_starts == MOST_FAILED_STARTS:
                return None
            return min(_FIRST_PAUSE_S * 2.0 ** (self._failed_starts - 1), _LONGEST_PAUSE_S)
        self._failed_starts = 0
        self._short = self._short + 1 if lived_s < _SHORT_S else 0
        return _BETWEEN_LIVES_S if self._short < MOST_SHORT_LIVES else None
