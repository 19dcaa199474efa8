"""How a job goes at this moment, by the record of its run. Pure arithmetic: pages in, figures out."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from ray_pipeline.telemetry.buckets import quantile, together
from ray_pipeline.telemetry.course import CanarySeen, Committed, LimitSeen
from ray_pipeline.telemetry.metrics import SECONDS
from ray_pipeline.telemetry.record import Page

WINDOW_S = 60.0
"""Figures are those of the chunks that were committed so lately."""
_CANARIES = 60  # about one a second while bulk runs
_USERS_SHARE = 0.95


@dataclass(frozen=True)
class NodeFigures:
    """What a node does, None where nothing is known: rows in a second, the median and the 95th percentile of a batch,
    that of a user's request beside bulk, all in seconds, and the limit that it heard of last.
    """

    node: str
    rows: int
    rows_per_s: float
    batch_p50_s: float | None
    batch_p95_s: float | None
    user_p95_s: float | None
    limit: LimitSeen | None


class View:
    """The last run of a job. Pages are added in the order in which they were written."""

    def __init__(self) -> None:
        self.last: Page | None = None
        self._begin()

    def add(self, page: Page) -> None:
        """Takes a page; that of another run begins anew."""
        if self.last is not None and self.last.run.id != page.run.id:
            self._begin()
        self.last = page
        for committed in page.committed:
            course = committed.course
            self._lately.append(committed)
            self.rejections.update(course.rejections)
            self.seconds.update(course.seconds())
            self._canaries.setdefault(course.node, deque(maxlen=_CANARIES)).extend(course.batches.canaries)
            if course.batches.limits:
                self._limits[course.node] = course.batches.limits[-1]

    def _begin(self) -> None:
        self.rejections: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self._lately: deque[Committed] = deque()
        self._canaries: dict[str, deque[CanarySeen]] = {}
        self._limits: dict[str, LimitSeen] = {}

    def nodes(self, now_s: float) -> list[NodeFigures]:
        """Those of the run, at a time of day in seconds since 1970."""
        while self._lately and _ended_s(self._lately[0]) < now_s - WINDOW_S:
            self._lately.popleft()
        there = self.last.run.nodes if self.last is not None else ()
        return [self._node(node, now_s) for node in dict.fromkeys((*there, *self._canaries))]

    def _node(self, node: str, now_s: float) -> NodeFigures:
        ours = [one for one in self._lately if one.course.node == node]
        rows = sum(one.part.scored + one.part.rejected for one in ours)
        # Of a run that is younger than the window there is less to look back on.
        began_s = max(now_s - WINDOW_S, self.last.run.began_s if self.last is not None else 0.0)
        batches = together(one.course.batches.seconds for one in ours)
        beside = sorted(one.took_s for one in self._canaries.get(node, ()) if not one.silent)
        return NodeFigures(
            node,
            rows,
            rows / max(now_s - began_s, 1.0),
            quantile(batches, SECONDS, 0.5),
            quantile(batches, SECONDS, 0.95),
            beside[int(_USERS_SHARE * len(beside))] if beside else None,
            self._limits.get(node),
        )


def _ended_s(committed: Committed) -> float:
    return committed.course.write.began_s + committed.course.write.took_s
