"""What an output folder tells of its job, read from any machine while the job runs and afterwards."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ray_pipeline.chunk import Chunk
from ray_pipeline.output import parts
from ray_pipeline.output.fingerprint import Fingerprint
from ray_pipeline.progress import Progress, status
from ray_pipeline.sinks.part import read_rejected
from ray_pipeline.summary.recorded import Counted, Recorded
from ray_pipeline.telemetry.record import read_record
from triton_models.storage import Storage, open_storage

MOST_PARTS = 24
"""So many rejected parts are read at most, to show what was rejected."""
MOST_EXAMPLES = 3
"""So many rows are shown of each kind of rejection."""
_PARTS_AT_ONCE = 8


@dataclass(frozen=True)
class RejectedRow:
    """A row that could not be scored: where it is, and why."""

    object: str
    row: int
    reason: str


@dataclass(frozen=True)
class Rejects:
    """Rejected rows of one kind, such as `prepare: NotJson`: how many there are, and some of them."""

    kind: str
    rows: int
    examples: Sequence[RejectedRow]


@dataclass(frozen=True)
class JobSeen:
    """A job at a moment, `at_s` in seconds since 1970. `told` is what the record counts of it, `there` its folder.

    `rejected_parts` are those that were read for `rejects`; without a record they are all that is counted of these.
    """

    uri: str
    at_s: float
    claim: Fingerprint
    progress: Progress
    recorded: Recorded
    told: Counted
    there: Counted
    rejects: Sequence[Rejects]
    rejected_parts: int

    @property
    def name(self) -> str:
        """The last name of the output folder, of letters that every file system takes."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.uri.rstrip("/").rpartition("/")[2]).strip("-.") or "job"


def read_job(uri: str, endpoint_url: str | None) -> JobSeen:
    """Looks at the job of an output folder. Raises OutputError where there is none."""
    claim, progress = status(uri, endpoint_url)
    output = open_storage(uri, endpoint_url)
    recorded = Recorded(page for _, page in read_record(output))
    planned = {chunk.id: chunk for chunk in progress.plan.chunks}
    kinds = recorded.rejections(planned)
    wanted = _with_rejected(output, planned, recorded)
    found = _examples(output, wanted)
    return JobSeen(
        uri=output.uri,
        at_s=time.time(),
        claim=claim,
        progress=progress,
        recorded=recorded,
        told=recorded.totals(planned),
        there=Counted(progress.chunks_done, progress.scored or 0, progress.rejected or 0),
        rejects=rejects_of(kinds, found),
        rejected_parts=len(wanted),
    )


def rejects_of(kinds: Counter[str], rows: Sequence[tuple[str, RejectedRow]]) -> list[Rejects]:
    """Rejected rows by their kind, the most first; what nobody has counted is counted by the examples."""
    seen = Counter(kind for kind, _ in rows)
    whole = kinds | Counter({kind: count for kind, count in seen.items() if kind not in kinds})
    return [
        Rejects(kind, count, [row for one, row in rows if one == kind][:MOST_EXAMPLES])
        for kind, count in whole.most_common()
    ]


def _with_rejected(output: Storage, planned: dict[str, Chunk], recorded: Recorded) -> list[Chunk]:
    """Chunks whose rejected rows are worth a look: of each kind that the record knows some, and then any."""
    there = sorted(parts.with_rejected(output) & planned.keys())
    of_kind: dict[str, list[str]] = {}
    for chunk in there:
        for kind in recorded.held[chunk].rejections if chunk in recorded.held else ():
            of_kind.setdefault(kind, []).append(chunk)
    each = max(MOST_PARTS // max(len(of_kind), 1), 1)
    first = [chunk for chunks in of_kind.values() for chunk in chunks[:each]]
    return [planned[chunk] for chunk in list(dict.fromkeys([*first, *there]))[:MOST_PARTS]]


def _examples(output: Storage, chunks: Sequence[Chunk]) -> list[tuple[str, RejectedRow]]:
    with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
        return [one for rows in pool.map(lambda chunk: list(_rows(output, chunk)), chunks) for one in rows]


def _rows(output: Storage, chunk: Chunk) -> Iterator[tuple[str, RejectedRow]]:
    """The rejected rows of a chunk with their kinds; none if it was scored again since its part was listed."""
    table = read_rejected(output, chunk)
    for row in table.to_pylist() if table is not None else ():
        yield f"{row['stage']}: {row['error']}", RejectedRow(row["object"], row["row"], row["reason"])
