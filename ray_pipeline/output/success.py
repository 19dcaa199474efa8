"""A job is complete when every planned part is there and its rows add up; then `_SUCCESS` says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ray_pipeline.chunk import Chunk
from ray_pipeline.errors import OutputError
from ray_pipeline.output import ledger, parts
from ray_pipeline.output.explained import explained
from ray_pipeline.plan import Plan
from ray_pipeline.sinks.base import Sink
from ray_pipeline.sinks.part import DATA, REJECTED, PartResult, read_result
from triton_models.storage import Storage
from triton_models.typed_json import dumps, loads, reader_of

SUCCESS_FILE = "_SUCCESS"
_PARTS_AT_ONCE = 16


@dataclass(frozen=True)
class Totals:
    """The rows of a whole job. `scored + rejected == rows`, or the job has failed."""

    rows: int
    scored: int
    rejected: int
    parts: int


@dataclass(frozen=True)
class Manifest:
    """`_SUCCESS`."""

    totals: Totals
    parts: tuple[PartResult, ...]


_READ = reader_of(Manifest)


def read_success(output: Storage) -> Totals | None:
    """The totals of a complete job, or None while it is not complete. Raises OutputError if they cannot be read."""
    try:
        return _manifest(output).totals
    except FileNotFoundError:
        return None


def read_manifest(output: Storage) -> dict[str, PartResult]:
    """What `_SUCCESS` says of each chunk, by its id. Raises OutputError if the job is not complete."""
    try:
        found = _manifest(output).parts
    except FileNotFoundError as error:
        raise OutputError(f"{output.uri} has no {SUCCESS_FILE}: its job is not complete; run it again") from error
    return {one.chunk: one for one in found}


def _manifest(output: Storage) -> Manifest:
    with explained(output, SUCCESS_FILE, "is not what a job wrote", "delete it and run the job again"):
        return _READ(loads(output.read(SUCCESS_FILE)))


def withdraw(output: Storage) -> None:
    """The job is no longer complete: there is more to do."""
    output.delete(SUCCESS_FILE)


def finish(output: Storage, sink: Sink, plan: Plan, results: Iterable[PartResult]) -> Totals:
    """Counts everything again from what lies in the folder, and writes `_SUCCESS` if it adds up.

    `results` are those of this run; for the others their ledger is asked, or else the part itself. Raises OutputError
    if a part is missing or the rows do not add up: then there is no `_SUCCESS`.
    """
    # A worker of a dead run may have written after this one tidied up.
    there = parts.remove_unplanned(output, sink, plan)
    missing = [chunk for chunk in plan.chunks if chunk.id not in there]
    if missing:
        raise OutputError(f"{output.uri} lacks {len(missing)} parts, the first of {missing[0]}; run the job again")
    found = results_of(output, sink, plan.chunks, there, {result.chunk: result for result in results})
    for chunk, part in zip(plan.chunks, found, strict=True):
        _check_sum(output, chunk, part)
    _settle_rejected(output, found)
    totals = Totals(
        plan.rows, sum(part.scored for part in found), sum(part.rejected for part in found), len(plan.chunks)
    )
    output.write(SUCCESS_FILE, dumps(Manifest(totals, tuple(found))).encode())
    return totals


def results_of(
    output: Storage,
    sink: Sink,
    chunks: Iterable[Chunk],
    there: Mapping[str, int],
    fresh: Mapping[str, PartResult],
) -> list[PartResult]:
    """What the parts of these chunks hold; `there` are the sizes of all data parts, `fresh` the results of this run."""
    noted = {**ledger.known(output, there), **fresh}
    with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
        return list(pool.map(lambda chunk: noted.get(chunk.id) or read_result(output, sink, chunk), chunks))


def _check_sum(output: Storage, chunk: Chunk, part: PartResult) -> None:
    if part.scored + part.rejected != chunk.rows:
        raise OutputError(
            f"{output.uri}/{DATA}/{chunk.part}: {part.scored} scored + {part.rejected} rejected are not the "
            f"{chunk.rows} rows of {chunk}; delete this part and run again"
        )


def _settle_rejected(output: Storage, found: Iterable[PartResult]) -> None:
    """Every rejected part that must be there is; one that a dead attempt left beside a good part goes."""
    there = parts.with_rejected(output)
    wanted = {part.chunk for part in found if part.rejected}
    for lost in sorted(wanted - there):
        raise OutputError(
            f"{output.uri}/{REJECTED}/part-{lost}.parquet is missing; delete the part of this name in {DATA}/ and run "
            "again"
        )
    parts.remove_rejected(output, there - wanted)
