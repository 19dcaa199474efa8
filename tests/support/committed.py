"""Output folders as runs leave them, made without a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from ray_pipeline.output.claim import claim, write_plan
from ray_pipeline.output.fingerprint import Fingerprint
from ray_pipeline.output.ledger import Ledger
from ray_pipeline.output.success import finish
from ray_pipeline.plan import Plan
from ray_pipeline.sinks.base import Sink
from ray_pipeline.sinks.formats import SINKS
from ray_pipeline.sinks.part import PartResult, data_path, rejected_path, write_part
from tests.support.chunks import chunk_of_rows, read_table
from triton_models.storage import Storage

CHUNKS = (chunk_of_rows(4), chunk_of_rows(4, first_row=4), chunk_of_rows(2, first_row=8))
PLAN = Plan("in", pa.schema([("id", pa.int64())]), CHUNKS, 3_000_000)
REJECTED = 1
"""The chunk of which one row is rejected."""


@dataclass(frozen=True)
class CommittedJob:
    """A job of three chunks with 4, 4 and 2 rows; of the second, one row is rejected."""

    output: Storage
    format: str = "parquet"

    @property
    def sink(self) -> Sink:
        """That of its format."""
        return SINKS[self.format]

    def begin(self, fingerprint: Fingerprint | None = None) -> None:
        """Writes what a run writes first; the job is that of `fingerprint`, or of no job file."""
        models = [{"name": "words", "version": 3}]
        claim(self.output, fingerprint or {"format": 3, "models": models, "output": {"format": self.format}})
        write_plan(self.output, PLAN)

    def commit(self, numbers: Iterable[int]) -> list[PartResult]:
        """Commits these chunks and notes them in the ledger."""
        return list(Ledger(self.output).noted(self._part(number) for number in numbers))

    def complete(self) -> None:
        """The whole job."""
        self.begin()
        self.commit_all()

    def commit_all(self) -> None:
        """What is left of a job that has begun."""
        finish(self.output, self.sink, PLAN, self.commit(range(3)))

    def data(self, number: int) -> str:
        """Where the data part of a chunk is."""
        return data_path(CHUNKS[number], self.sink)

    def rejected(self, number: int) -> str:
        """Where its rejected part is."""
        return rejected_path(CHUNKS[number])

    def _part(self, number: int) -> PartResult:
        chunk = CHUNKS[number]
        first = chunk.pieces[0].first_row
        reasons = ["bad" if number == REJECTED and row == 0 else None for row in range(chunk.rows)]
        ids = list(range(first, first + chunk.rows))
        return write_part(self.output, self.sink, read_table({"id": ids}, first, reasons))
