"""The record of a job in columns: what its chunks took, which runs did them, and what was heard of the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ray_pipeline.telemetry.course import STAGES, Batches, Committed, Course
from ray_pipeline.telemetry.metrics import ROWS, SECONDS
from ray_pipeline.telemetry.record import Page, Run

Table = NDArray[np.void]
_PLACE = [("run", "i4"), ("node", "i4"), ("at_s", "f8")]
CHUNKS = np.dtype([*_PLACE, ("took_s", "f8"), ("rows", "i8"), *((stage, "f8") for stage in STAGES)])
"""Each time that a chunk was committed: from when it was scored and how long, and how many rows that were."""
LIMITS = np.dtype([*_PLACE, ("in_flight", "i4"), ("batch_s", "f8")])
"""Each limit that was heard of; `batch_s` is NaN without a bound."""
CANARIES = np.dtype([*_PLACE, ("took_s", "f8"), ("silent", "?")])
"""Each request like that of a user."""


@dataclass
class RunSeen:
    """A run as far as its pages tell: `heard_s` is when the last was written, in seconds since 1970."""

    run: Run
    heard_s: float
    over: bool = False
    error: str | None = None
    parts: int = 0
    rows: int = 0

    @property
    def took_s(self) -> float:
        """How long it has worked."""
        return max(self.heard_s - self.run.began_s, 0.0)


@dataclass
class Sent:
    """Batches that were sent, and how many of them are in each bucket of `SECONDS` and `ROWS`."""

    count: int = 0
    again: int = 0
    refused: int = 0
    bytes: int = 0
    seconds: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(SECONDS) + 1, np.int64))
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(ROWS) + 1, np.int64))

    def add(self, batches: Batches) -> None:
        """Those of one more chunk."""
        self.count += batches.count
        self.again += batches.sent_again
        self.refused += batches.refused
        self.bytes += batches.bytes
        self.seconds += batches.seconds
        self.rows += batches.rows


@dataclass(frozen=True, slots=True)
class Held:
    """What the part of a chunk held when it was committed last, and in which run that was."""

    run: int
    scored: int
    rejected: int
    rejections: Mapping[str, int]


@dataclass(frozen=True)
class Counted:
    """Parts, and the rows in them."""

    parts: int
    scored: int
    rejected: int

    def __str__(self) -> str:
        return f"{self.parts:,} parts with {self.scored:,} scored and {self.rejected:,} rejected rows"


class Recorded:
    """All pages of a job. Pages are added in the order in which they were written.

    `nodes` are the addresses of all that the record names, `sent` the batches of each, `held` the chunks by their ids.
    """

    def __init__(self, pages: Iterable[Page] = ()) -> None:
        self.runs: list[RunSeen] = []
        self.nodes: list[str] = []
        self.sent: list[Sent] = []
        self.held: dict[str, Held] = {}
        self._tables: dict[np.dtype[np.void], list[Table]] = {CHUNKS: [], LIMITS: [], CANARIES: []}
        for page in pages:
            self.add(page)

    @property
    def chunks(self) -> Table:
        """All of `CHUNKS`."""
        return self._all(CHUNKS)

    @property
    def limits(self) -> Table:
        """All of `LIMITS`."""
        return self._all(LIMITS)

    @property
    def canaries(self) -> Table:
        """All of `CANARIES`."""
        return self._all(CANARIES)

    def add(self, page: Page) -> None:
        """Takes one more page."""
        if not self.runs or self.runs[-1].run.id != page.run.id:
            self.runs.append(RunSeen(page.run, page.at_s))
            for node in page.run.nodes:
                self._node(node)
        run = self.runs[-1]
        run.heard_s, run.over, run.error = page.at_s, page.over, page.error
        self._keep(CHUNKS, page.committed, lambda one: [self._chunk(one)])
        self._keep(LIMITS, page.committed, lambda one: self._limits(one.course))
        self._keep(CANARIES, page.committed, lambda one: self._canaries(one.course))

    def totals(self, planned: Iterable[str]) -> Counted:
        """Those of the planned chunks, each as it was committed last."""
        held = [self.held[chunk] for chunk in planned if chunk in self.held]
        return Counted(len(held), sum(one.scored for one in held), sum(one.rejected for one in held))

    def rejections(self, planned: Iterable[str]) -> Counter[str]:
        """The rejected rows of the planned chunks by stage and error, each chunk as it was committed last."""
        found: Counter[str] = Counter()
        for chunk in planned:
            if chunk in self.held:
                found.update(self.held[chunk].rejections)
        return found

    def _chunk(self, committed: Committed) -> tuple[float, ...]:
        part, course, run = committed.part, committed.course, len(self.runs) - 1
        before = self.held.get(part.chunk)
        # In a later run it is the rejected rows that are scored again, unless somebody has taken the part away.
        again = before is not None and before.run < run and before.rejected > 0
        rows = before.rejected if before is not None and again else part.scored + part.rejected
        self.held[part.chunk] = Held(run, part.scored, part.rejected, course.rejections)
        self.runs[run].parts += 1
        self.runs[run].rows += rows
        node = self._node(course.node)
        self.sent[node].add(course.batches)
        took = course.seconds()
        began_s = course.score.began_s or course.write.began_s
        return run, node, began_s, course.score.took_s, rows, *(took[stage] for stage in STAGES)

    def _limits(self, course: Course) -> list[tuple[float, ...]]:
        place = len(self.runs) - 1, self._node(course.node)
        return [
            (*place, one.at_s, one.in_flight, np.nan if one.batch_s is None else one.batch_s)
            for one in course.batches.limits
        ]

    def _canaries(self, course: Course) -> list[tuple[float, ...]]:
        place = len(self.runs) - 1, self._node(course.node)
        return [(*place, one.at_s, one.took_s, one.silent) for one in course.batches.canaries]

    def _node(self, address: str) -> int:
        if address not in self.nodes:
            self.nodes.append(address)
            self.sent.append(Sent())
        return self.nodes.index(address)

    def _keep(
        self,
        kind: np.dtype[np.void],
        committed: Sequence[Committed],
        rows_of: Callable[[Committed], list[tuple[float, ...]]],
    ) -> None:
        self._tables[kind].append(np.array([row for one in committed for row in rows_of(one)], kind))

    def _all(self, kind: np.dtype[np.void]) -> Table:
        return np.concatenate([np.empty(0, kind), *self._tables[kind]])
