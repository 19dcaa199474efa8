"""`rayton plan`, `rayton status` and `rayton verify`: what a job is, how far it is, and whether its output is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ray_pipeline.chunk import Chunk
from ray_pipeline.errors import OutputError
from ray_pipeline.output import ledger, lock, parts
from ray_pipeline.output.claim import check_job, read_claim, read_plan
from ray_pipeline.output.fingerprint import Fingerprint
from ray_pipeline.output.steering import Steering, read_steering
from ray_pipeline.output.success import read_manifest, read_success, results_of
from ray_pipeline.plan import Plan, make_plan
from ray_pipeline.sinks.base import Sink
from ray_pipeline.sinks.formats import SINKS
from ray_pipeline.sinks.part import DATA, PartResult, count_rejected, data_path, read_content
from ray_pipeline.spec import JobSpec
from triton_models.storage import Storage, open_storage

_PARTS_AT_ONCE = 16


@dataclass(frozen=True)
class Progress:
    """How far a job is. `scored` and `rejected` are rows of committed chunks, None where they were not counted.

    `bytes_done` are those of the data parts. `runs` says for people whether a run works on it, as `is_running` does;
    `steering` is what an operator has said of it.
    """

    plan: Plan
    chunks_done: int
    rows_done: int
    bytes_done: int
    scored: int | None
    rejected: int | None
    rows_per_s: float | None
    runs: str
    steering: Steering
    is_running: bool
    is_complete: bool

    @property
    def left_s(self) -> float | None:
        """Seconds until the end at the pace that was seen last; None if none was."""
        return (self.plan.rows - self.rows_done) / self.rows_per_s if self.rows_per_s else None


def planned(spec: JobSpec) -> Progress:
    """What `rayton score` would do; nothing is started or written. Raises RaytonError, as it would."""
    output = open_storage(spec.output.uri, spec.storage.endpoint_url, spec.storage.timeout_s)
    if (earlier := read_claim(output)) is not None:
        check_job(output, earlier, spec)
    plan = read_plan(output) or make_plan(spec)
    return _progress(output, SINKS[spec.output.format], plan, count=False)


def status(uri: str, endpoint_url: str | None) -> tuple[Fingerprint, Progress]:
    """How far the job of an output folder is, asked from any machine. Raises OutputError where there is none."""
    output, claim, sink, plan = opened(uri, endpoint_url)
    return claim, _progress(output, sink, plan, count=True)


def verify(uri: str, endpoint_url: str | None) -> Iterator[tuple[int, str | None]]:
    """Reads every part of a complete job again; gives the rows of each and what is wrong with it, None if nothing is.

    Compared are the rows and the SHA-256 with those in `_SUCCESS`; what lies beside the parts is wrong, since who reads
    the folder reads it too. Raises OutputError if the job is not complete.
    """
    output, _, sink, plan = opened(uri, endpoint_url)
    manifest = read_manifest(output)
    with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
        checked = pool.map(lambda chunk: _fault(output, sink, chunk, manifest.get(chunk.id)), plan.chunks)
        yield from zip((chunk.rows for chunk in plan.chunks), checked, strict=True)
    planned = {data_path(chunk, sink) for chunk in plan.chunks}
    for stranger in (f"{DATA}/{one.path}" for one in output.at(DATA).objects()):
        if stranger not in planned:
            yield 0, f"{stranger}: is no part of this job"


def _fault(output: Storage, sink: Sink, chunk: Chunk, wanted: PartResult | None) -> str | None:
    path = data_path(chunk, sink)
    try:
        if wanted is None:
            return f"{path}: _SUCCESS does not know it"
        content = read_content(output, path)
        if hashlib.sha256(content).hexdigest() != wanted.sha256:
            return f"{path}: its content is not what was written (SHA-256)"
        scored, rejected = sink.count(content), count_rejected(output, chunk)
    except OutputError as error:
        return f"{path}: {error}"
    if (scored, rejected) != (wanted.scored, wanted.rejected) or scored + rejected != chunk.rows:
        return f"{path}: {scored} scored + {rejected} rejected, not {wanted.scored} + {wanted.rejected} of {chunk.rows}"
    return None


def opened(uri: str, endpoint_url: str | None) -> tuple[Storage, Fingerprint, Sink, Plan]:
    """The output folder of a job, whose job it is, how it writes, and what it planned. Raises OutputError if none."""
    output = open_storage(uri, endpoint_url)
    claim, plan = read_claim(output), read_plan(output)
    if claim is None or plan is None:
        raise OutputError(f"{output.uri} is not the output of a job: it has no _job.json and _plan.parquet")
    match claim:
        case {"output": {"format": str(format)}} if format in SINKS:
            return output, claim, SINKS[format], plan
    raise OutputError(f"{output.uri}/_job.json does not say in which of the formats {', '.join(SINKS)} the parts are")


def _progress(output: Storage, sink: Sink, plan: Plan, *, count: bool) -> Progress:
    there = parts.committed(output, sink)
    done = [chunk for chunk in plan.chunks if chunk.id in there]
    results = results_of(output, sink, done, there, {}) if count else None
    runs, is_running = _runs(output)
    return Progress(
        plan=plan,
        chunks_done=len(done),
        rows_done=sum(chunk.rows for chunk in done),
        bytes_done=sum(there[chunk.id] for chunk in done),
        scored=sum(result.scored for result in results) if results is not None else None,
        rejected=sum(result.rejected for result in results) if results is not None else None,
        rows_per_s=ledger.rows_per_s(output),
        runs=runs,
        steering=read_steering(output),
        is_running=is_running,
        is_complete=read_success(output) is not None,
    )


def _runs(output: Storage) -> tuple[str, bool]:
    found = lock.holder(output)
    if found is None:
        return "no run is working on it", False
    if lock.is_alive(output, found):
        return f"a run is working on it: {found}", True
    return f"the run that worked on it is dead: {found}", False
