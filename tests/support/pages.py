"""Pages of a record, made by hand: one node, one second of scoring a chunk, unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ray_pipeline.sinks.part import PartResult
from ray_pipeline.telemetry.course import Batches, CanarySeen, Committed, Course, LimitSeen, Stage
from ray_pipeline.telemetry.metrics import ROWS, SECONDS
from ray_pipeline.telemetry.record import Page, Run

BEGAN_S = 1_000_000.0
NODE = "10.0.0.1"


def run(number: int = 0, began_s: float = BEGAN_S, nodes: Sequence[str] = (NODE,)) -> Run:
    """A run of a job."""
    return Run(f"run-{number}", began_s, tuple(nodes))


def page(of: Run, at_s: float, *committed: Committed, over: bool = False, error: str | None = None) -> Page:
    """A page that was written so many seconds after its run began."""
    return Page(of, of.began_s + at_s, committed, over, error)


def committed(
    chunk: str,
    *,
    scored: int = 10,
    rejections: dict[str, int] | None = None,
    node: str = NODE,
    at_s: float = BEGAN_S,
    took_s: float = 1.0,
    batches: Batches | None = None,
) -> Committed:
    """A chunk whose scoring began at `at_s`, after 0.1 s of reading and 0.4 s of preparing; writing took 0.2 s."""
    kinds = rejections or {}
    part = PartResult(chunk, scored, sum(kinds.values()), 1000, "0" * 64)
    course = Course(
        node,
        read=Stage(at_s - 0.5, 0.1),
        prepare=Stage(at_s - 0.4, 0.4),
        score=Stage(at_s, took_s),
        write=Stage(at_s + took_s, 0.2),
        batches=batches or Batches(),
        rejections=kinds,
    )
    return Committed(part, course)


def batches(
    *, seconds: Mapping[float, int] | None = None, rows: Mapping[int, int] | None = None, permit_s: float = 0.0
) -> Batches:
    """So many batches in the buckets that end with these seconds and rows."""
    in_seconds, in_rows = [0] * (len(SECONDS) + 1), [0] * (len(ROWS) + 1)
    for end, number in (seconds or {}).items():
        in_seconds[SECONDS.index(end)] = number
    for largest, number in (rows or {}).items():
        in_rows[ROWS.index(largest)] = number
    count = sum(in_rows)
    return Batches(count, bytes=100 * count, permit_s=permit_s, seconds=tuple(in_seconds), rows=tuple(in_rows))


def heard(
    found: Batches,
    *,
    limits: Sequence[tuple[float, int, float | None]] = (),
    canaries: Sequence[tuple[float, float, bool]] = (),
) -> Batches:
    """The same, and what was heard: limits (when, in flight, seconds of a batch), canaries (when, took, silent)."""
    return replace(
        found,
        limits=tuple(LimitSeen(*limit, "a test") for limit in limits),
        canaries=tuple(CanarySeen(*canary) for canary in canaries),
    )
