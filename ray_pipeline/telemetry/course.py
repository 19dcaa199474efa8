"""How a chunk has gone. It travels with the chunk's rows, from the stage that reads to the one that commits."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated

import pyarrow as pa

from ray_pipeline.chunk import COURSE
from ray_pipeline.sinks.part import PartResult
from ray_pipeline.telemetry.metrics import ROWS, SECONDS
from triton_models.typed_json import Within, dumps, loads, reader_of

STAGES = ("read", "prepare", "permit", "infer", "write")
"""Where the time of a chunk goes; scoring is in two, as its batches wait for permits first."""

Seconds = Annotated[float, Within(0, 1e11)]
Count = Annotated[int, Within(0, 2**53)]
"""Bounds for what is read again: who can write to the output can write anything there."""


@dataclass(frozen=True)
class Stage:
    """When a stage began, in seconds since 1970, and the seconds that it took."""

    began_s: Seconds = 0.0
    took_s: Seconds = 0.0


class Laps:
    """Tells one stage after the other by the clock."""

    def __init__(self) -> None:
        self._began_s = round(time.time(), 6)
        self._from_s = time.monotonic()

    def lap(self) -> Stage:
        """The stage that ends now; it began when the one before it ended."""
        now_s = time.monotonic()
        stage = Stage(self._began_s, round(now_s - self._from_s, 6))
        self._began_s, self._from_s = self._began_s + stage.took_s, now_s
        return stage


@dataclass(frozen=True)
class LimitSeen:
    """A limit of which the job heard at a time of day: so many batches at once, each of at most `batch_s` seconds,
    None without a bound."""

    at_s: Seconds
    in_flight: Count
    batch_s: Seconds | None
    cause: str


@dataclass(frozen=True)
class CanarySeen:
    """How long a request like that of a user took at a time of day, while bulk was `silent` or not."""

    at_s: Seconds
    took_s: Seconds
    silent: bool


@dataclass(frozen=True)
class BatchSeen:
    """One batch: when it was sent, how long it had waited for its permit, and how long for its answer, in seconds."""

    at_s: Seconds
    permit_s: Seconds
    took_s: Seconds
    rows: Count


@dataclass(frozen=True)
class Batches:
    """The batches of a chunk, and what was heard of the server meanwhile.

    `seconds` and `rows` count the batches in each bucket of `SECONDS` and `ROWS`; `seconds` has those that were
    answered at once. `each` has every batch if the job is traced.
    """

    count: Count = 0
    sent_again: Count = 0
    refused: Count = 0
    bytes: Count = 0
    permit_s: Seconds = 0.0
    seconds: tuple[Count, ...] = (0,) * (len(SECONDS) + 1)
    rows: tuple[Count, ...] = (0,) * (len(ROWS) + 1)
    limits: tuple[LimitSeen, ...] = ()
    canaries: tuple[CanarySeen, ...] = ()
    each: tuple[BatchSeen, ...] = ()

    def __post_init__(self) -> None:
        if (len(self.seconds), len(self.rows)) != (len(SECONDS) + 1, len(ROWS) + 1):
            raise ValueError("counts are of other buckets than those of this version of Rayton")


@dataclass(frozen=True)
class Course:
    """A chunk on its way. `node` scored it; `rejections` counts rejected rows by stage and error."""

    node: str = ""
    read: Stage = field(default_factory=Stage)
    prepare: Stage = field(default_factory=Stage)
    score: Stage = field(default_factory=Stage)
    write: Stage = field(default_factory=Stage)
    batches: Batches = field(default_factory=Batches)
    rejections: dict[str, Count] = field(default_factory=dict)

    def seconds(self) -> dict[str, float]:
        """What it has spent in each of `STAGES`."""
        permit_s = self.batches.permit_s
        infer_s = max(self.score.took_s - permit_s, 0.0)
        spent_s = (self.read.took_s, self.prepare.took_s, permit_s, infer_s, self.write.took_s)
        return dict(zip(STAGES, spent_s, strict=True))

    def on(self, table: pa.Table) -> pa.Table:
        """The table of the chunk with this as its course."""
        column = pa.array([dumps(self), *[None] * (table.num_rows - 1)], pa.string())
        if COURSE not in table.column_names:
            return table.append_column(COURSE, column)
        return table.set_column(table.column_names.index(COURSE), COURSE, column)


@dataclass(frozen=True)
class Committed:
    """A chunk that was committed: what its parts hold, and how it has gone."""

    part: PartResult
    course: Course

    @classmethod
    def of_json(cls, said: str) -> Committed:
        """The reverse of `to_json`. Raises ValueError."""
        return _COMMITTED(loads(said))

    def to_json(self) -> str:
        """As a result row carries it."""
        return dumps(self)


_COURSE = reader_of(Course)
_COMMITTED = reader_of(Committed)


def course_of(table: pa.Table) -> Course:
    """The course of the chunk that a table holds; one that has not begun where nobody has said anything of it."""
    if COURSE not in table.column_names:
        return Course()
    return _COURSE(loads(table[COURSE][0].as_py()))
