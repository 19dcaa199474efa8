"""What is left to do of a plan: the chunks that are not committed, and rejected rows where they are wanted again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ray_pipeline.chunk import Chunk
from ray_pipeline.output import parts
from ray_pipeline.output.success import results_of
from ray_pipeline.plan import Plan
from ray_pipeline.sinks.base import Sink
from triton_models.storage import Storage


@dataclass(frozen=True)
class Left:
    """The chunks that a run has to score, in the order of the plan.

    `committed` is how many chunks are committed. `again` are those of them of which the rejected rows are scored again,
    by id, and how many these are. `rejected` counts the rejected rows of all others.
    """

    chunks: tuple[Chunk, ...] = ()
    committed: int = 0
    again: Mapping[str, int] = field(default_factory=dict)
    rejected: int = 0

    @property
    def rows(self) -> int:
        """How many rows are scored."""
        return sum(self.again.get(chunk.id, chunk.rows) for chunk in self.chunks)


def what_is_left(output: Storage, sink: Sink, plan: Plan, there: Mapping[str, int], *, retry_rejected: bool) -> Left:
    """Compares a plan with what is committed: `there` are the chunks whose data part is there, and its size in bytes.

    Raises OutputError for parts that do not hold the rows of their chunk.
    """
    named = parts.with_rejected(output) & there.keys()
    suspects = [chunk for chunk in plan.chunks if chunk.id in named]
    # A rejected part that a dead attempt left beside a good data part names no rejected row.
    found = results_of(output, sink, suspects, there, {}) if suspects else []
    rejected = {part.chunk: part.rejected for part in found if part.rejected}
    again = rejected if retry_rejected else {}
    chunks = tuple(chunk for chunk in plan.chunks if chunk.id not in there or chunk.id in again)
    return Left(chunks, len(there), again, sum(rejected.values()) - sum(again.values()))
