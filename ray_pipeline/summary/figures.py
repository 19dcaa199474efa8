"""Everything that the page tells, as plain values. Pure arithmetic: the record and the counts of a folder in, figures
out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ray_pipeline.summary.limits import (
    Canaries,
    CanaryBin,
    LimitBin,
    canaries,
    canary_bins,
    limit_bins,
)
from ray_pipeline.summary.recorded import Recorded, RunSeen
from ray_pipeline.summary.worktime import WorkTime, rate
from ray_pipeline.telemetry.buckets import quantile, together
from ray_pipeline.telemetry.course import STAGES
from ray_pipeline.telemetry.metrics import SECONDS

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class RateBin:
    """Rows in a second between two moments of work."""

    from_s: float
    to_s: float
    rows_per_s: float


@dataclass(frozen=True)
class StageFigures:
    """What all chunks have spent in a stage: seconds, and the share of all stages."""

    stage: str
    took_s: float
    share: float


@dataclass(frozen=True)
class NodeFigures:
    """What a node has scored in `took_s` seconds of runs that had it; `share` is that of the rows of all nodes.

    `busy_s` is what it has spent on scoring; `p50_s` and `p95_s` are quantiles of its batches, None if it had none.
    """

    node: str
    parts: int
    rows: int
    share: float
    took_s: float
    busy_s: float
    p50_s: float | None
    p95_s: float | None

    @property
    def rows_per_s(self) -> float:
        """Rows in a second of its runs."""
        return self.rows / self.took_s if self.took_s else 0.0


@dataclass(frozen=True)
class BatchFigures:
    """The batches of all nodes: their number, those that were sent again and refused, and the bytes that were sent.

    `seconds` and `rows` are how many are in each bucket of `SECONDS` and `ROWS`. `quantiles_s` are the `QUANTILES` of
    their seconds; there are none if no batch was answered at once.
    """

    count: int
    again: int
    refused: int
    bytes: int
    seconds: Sequence[int]
    rows: Sequence[int]
    quantiles_s: Sequence[float]


@dataclass(frozen=True)
class Cost:
    """Hours of nodes that score, all runs together, and what they cost at a price for each, and for a million rows."""

    node_hours: float
    price: float
    rows: int

    @property
    def whole(self) -> float:
        """The whole, in the unit of the price."""
        return self.node_hours * self.price

    @property
    def million_rows(self) -> float | None:
        """A million rows; None if there are no rows."""
        return self.whole / self.rows * 1e6 if self.rows else None


@dataclass(frozen=True)
class Figures:
    """What the record tells. `rows` were scored by all runs, a row that was scored twice twice, in `took_s` seconds.

    `starts_s` is when each run began, in seconds of work.
    """

    runs: Sequence[RunSeen]
    starts_s: Sequence[float]
    rows: int
    took_s: float
    rates: Sequence[RateBin]
    stages: Sequence[StageFigures]
    batches: BatchFigures
    nodes: Sequence[NodeFigures]
    limits: Sequence[LimitBin]
    canary_bins: Sequence[CanaryBin]
    canaries: Sequence[Canaries]

    @property
    def rows_per_s(self) -> float | None:
        """Rows in a second of work, start-up included; None without a record."""
        return self.rows / self.took_s if self.took_s else None

    @property
    def rows_per_s_scoring(self) -> float | None:
        """Rows in a second while any were scored; None if none were."""
        scoring_s = sum(one.to_s - one.from_s for one in self.rates if one.rows_per_s)
        return self.rows / scoring_s if scoring_s else None

    def cost(self, price: float) -> Cost:
        """At a price for the hour of a node. Only nodes that score are known."""
        hours = sum(len(one.run.nodes) * one.took_s for one in self.runs) / 3600
        return Cost(hours, price, self.rows)


def figures_of(recorded: Recorded) -> Figures:
    """Counts what the record tells."""
    work, chunks = WorkTime.of(recorded.runs), recorded.chunks
    edges = work.edges()
    begun_s = work.at(chunks["run"], chunks["at_s"])
    ended_s = work.at(chunks["run"], chunks["at_s"] + chunks["took_s"])
    rates = rate(begun_s, ended_s, chunks["rows"].astype(float), edges)
    return Figures(
        runs=recorded.runs,
        starts_s=work.starts_s.tolist(),
        rows=int(chunks["rows"].sum()),
        took_s=work.total_s,
        rates=[RateBin(*span, value) for span, value in zip(pairwise(edges.tolist()), rates.tolist(), strict=True)],
        stages=_stages(recorded),
        batches=_batches(recorded),
        nodes=_nodes(recorded),
        limits=limit_bins(recorded, work, edges),
        canary_bins=canary_bins(recorded, work, edges),
        canaries=canaries(recorded),
    )


def _stages(recorded: Recorded) -> list[StageFigures]:
    chunks = recorded.chunks
    took_s = {stage: float(chunks[stage].sum()) for stage in STAGES}
    whole = sum(took_s.values())
    return [StageFigures(stage, took, took / whole) for stage, took in took_s.items()] if whole else []


def _batches(recorded: Recorded) -> BatchFigures:
    seconds = together(one.seconds.tolist() for one in recorded.sent)
    found = [quantile(seconds, SECONDS, share) for share in QUANTILES]
    return BatchFigures(
        count=sum(one.count for one in recorded.sent),
        again=sum(one.again for one in recorded.sent),
        refused=sum(one.refused for one in recorded.sent),
        bytes=sum(one.bytes for one in recorded.sent),
        seconds=seconds,
        rows=together(one.rows.tolist() for one in recorded.sent),
        quantiles_s=[value for value in found if value is not None],
    )


def _nodes(recorded: Recorded) -> list[NodeFigures]:
    """In the order of their rows, the most first."""
    chunks = recorded.chunks
    whole = int(chunks["rows"].sum())
    found = []
    for number, (node, sent) in enumerate(zip(recorded.nodes, recorded.sent, strict=True)):
        ours = chunks[chunks["node"] == number]
        scored_in = set(ours["run"].tolist())
        runs = [one for place, one in enumerate(recorded.runs) if node in one.run.nodes or place in scored_in]
        rows = int(ours["rows"].sum())
        found.append(
            NodeFigures(
                node=node,
                parts=len(ours),
                rows=rows,
                share=rows / whole if whole else 0.0,
                took_s=sum(one.took_s for one in runs),
                busy_s=float(ours["took_s"].sum()),
                p50_s=quantile(sent.seconds.tolist(), SECONDS, 0.5),
                p95_s=quantile(sent.seconds.tolist(), SECONDS, 0.95),
            )
        )
    return sorted(found, key=lambda one: -one.rows)
