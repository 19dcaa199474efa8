"""How many batches are at the server at once. Pure arithmetic: what was seen in, a number out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

LEAST, MOST = 2, 16
"""With one batch less the server would have nothing to do while an answer is put away and the next batch is made; the
most bounds the memory."""


@dataclass(frozen=True)
class Trip:
    """A batch that was answered: the seconds until then, and how many were in flight when it was sent, itself too."""

    seconds: float
    in_flight: int


class Window:
    """The number of batches that keep a server busy, learned from how long they wait there.

        size = round(in flight x (1 - queued / trip)) + 1        between LEAST and MOST; at most 1 more each time

    By Little's law, L = lambda x W (J. Little, Operations Research 9, 1961), `rate x trip` batches are in flight and
    `rate x queued` of them wait in the server's queue; the others are worked on, or on their way. One more than these
    waits at the server, so that no instance idles, and finds out whether more helps: if it is worked on too, nothing is
    queued and the window grows. More than one must not wait: where batches have different shapes, Triton's batcher
    looks for those that fit together without a pause, on a processor that the model could use (a fifth of the rows per
    second on two cores).
    """

    def __init__(self) -> None:
        self.size = LEAST

    def learn(self, trips: Sequence[Trip], queued_s: float) -> None:
        """Takes the batches answered of late, one at least, and how long each was in the server's queue on average.

        One that was refused or sent twice says nothing about the speed: leave it out.
        """
        trip_s = fmean(trip.seconds for trip in trips)
        waiting = min(queued_s / trip_s, 1.0) if trip_s > 0 else 0.0
        # The usual number: the first batches of a chunk find fewer, which says nothing.
        at_work = median(trip.in_flight for trip in trips) * (1 - waiting)
        self.size = max(LEAST, min(round(at_work) + 1, self.size + 1, MOST))
