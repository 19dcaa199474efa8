"""How long a server worked at each batch, told from the order in which batches went there. Pure arithmetic."""

from __future__ import annotations

Batch = tuple[int, int]
"""The permit of one: its holder, and the holder's number."""


class Work:
    """The batches at a server of so many `instances`, which take them in the order in which they came.

    A batch that waits in the server's queue waits for those before it, whose time that is. So work at one begins when
    fewer of those before it than there are instances are left.
    """

    def __init__(self) -> None:
        self.instances = 1
        self._began_s: dict[Batch, float | None] = {}

    def came(self, batch: Batch, now_s: float) -> None:
        """A batch is on its way to the server."""
        self._began_s[batch] = None
        self._begin(now_s)

    def ended(self, batch: Batch, now_s: float) -> float:
        """A batch is not there any more; gives for how many seconds it was worked at.

        One that has ended before one that came earlier was worked at in its stead.
        """
        began_s = self._began_s.pop(batch)
        if began_s is None:
            overtaken, began_s = max(
                ((other, since_s) for other, since_s in self._began_s.items() if since_s is not None),
                key=lambda working: working[1],
            )
            self._began_s[overtaken] = None
        self._begin(now_s)
        return now_s - began_s

    def _begin(self, now_s: float) -> None:
        free = self.instances - sum(since_s is not None for since_s in self._began_s.values())
        for batch in [batch for batch, since_s in self._began_s.items() if since_s is None][: max(free, 0)]:
            self._began_s[batch] = now_s
