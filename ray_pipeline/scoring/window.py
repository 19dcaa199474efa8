"""How many batches are at the server at once. Pure arithmetic: samples in, a number out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

LEAST, MOST = 2, 16
"""With one batch less the server would have nothing to do while an answer is put away and the next batch is made; the
most bounds the memory."""

_RECENT = 2 * MOST
"""Samples among which the best rate is looked for: a pause of the server, or the first batches of a chunk, which find
it empty, do not shrink the window."""

_REMEMBERED = 512
"""Samples among which the shortest round trip is looked for: those of several chunks, each of which begins with a batch
that does not wait."""

_TOLERANCE = 1.25
"""The usual round trip is that much longer than the shortest where nothing waits. Where all are alike, three instances
or more get one batch too many, which costs nothing; without it eight that vary by a third would get four."""


@dataclass(frozen=True)
class Sample:
    """A batch that was answered: when it was sent and when its answer was there, in seconds of one clock.

    `elements` is what it cost: the numbers in its inputs, padding counted.
    """

    sent_s: float
    answered_s: float
    elements: int


class Window:
    """The number of batches that keep a server busy, learned from those that it answered.

        size = round(rate x shortest x tolerance) + 1        between LEAST and MOST; at most 1 more with each sample

    `rate x shortest` is Little's law, L = lambda x W (J. Little, Operations Research 9, 1961), for batches that do not
    wait: as many as the server works on at once. `rate` is in elements a second: what was answered during the round
    trips of the last batches, divided by the time that these took; the best of late. `shortest` is in seconds an
    element, the shortest round trip of the last few chunks. Elements make large and small batches alike. The tolerance
    is that of gradient limits (Netflix concurrency-limits). One more than that waits at the server, so that no instance
    idles, and finds out whether more helps, as BBR probes for bandwidth (N. Cardwell et al., ACM Queue 14, 2016): if it
    is worked on too, the rate rises and the window with it; if it only waits, the rate stays.
    """

    def __init__(self) -> None:
        self.size = LEAST
        self._answered: deque[Sample] = deque(maxlen=MOST)
        self._trips: deque[tuple[int, float]] = deque(maxlen=2 * MOST)
        self._rates: deque[float] = deque(maxlen=_RECENT)
        self._each: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self, sample: Sample) -> None:
        """Learns from an answer. One that was refused or sent twice says nothing about the speed: leave it out."""
        took_s = sample.answered_s - sample.sent_s
        if took_s <= 0 or not sample.elements:
            return
        self._answered.append(sample)
        meanwhile = sum(other.elements for other in self._answered if other.answered_s > sample.sent_s)
        self._trips.append((meanwhile, took_s))
        self._rates.append(self._rate())
        self._each.append(took_s / sample.elements)
        at_work = max(self._rates) * min(self._each)
        self.size = max(LEAST, min(round(at_work * _TOLERANCE) + 1, self.size + 1, MOST))

    def _rate(self) -> float:
        """Over two windows of batches: where instances end at the same time, round trips are short and long in turn."""
        trips = list(self._trips)[-2 * self.size :]
        return sum(elements for elements, _ in trips) / sum(took_s for _, took_s in trips)
