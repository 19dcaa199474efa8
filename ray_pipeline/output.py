"""The output folder: whose it is, what is committed in it, and when it is complete."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from ray_pipeline.chunk import Chunk
from ray_pipeline.errors import OutputError
from ray_pipeline.plan import Plan
from ray_pipeline.sinks.parquet import DATA, REJECTED, PartResult, read_result
from triton_models.disk import is_temporary
from triton_models.storage import Storage

JOB_FILE = "_job.json"
PLAN_FILE = "_plan.parquet"
SUCCESS_FILE = "_SUCCESS"
_PARTS_AT_ONCE = 16


@dataclass(frozen=True)
class Totals:
    """The rows of a whole job. `scored + rejected == rows`, or the job has failed."""

    rows: int
    scored: int
    rejected: int
    parts: int


def read_claim(output: Storage) -> dict[str, Any] | None:
    """The fingerprint of the job that this folder belongs to, or None if it is free.

    Raises OutputError if the folder holds something that no job wrote.
    """
    try:
        claim: Any = json.loads(output.read(JOB_FILE))
        if not isinstance(claim, dict) or "models" not in claim:
            raise ValueError("it names no models")
    except FileNotFoundError:
        strangers = output.objects()
        if strangers:
            raise OutputError(
                f"{output.uri} holds other files ({strangers[0].path}) and no {JOB_FILE}; "
                "choose an empty or a new folder"
            ) from None
        return None
    except ValueError as error:
        raise OutputError(f"{output.uri}/{JOB_FILE} is not readable ({error}); choose another folder") from error
    return claim


def claim(output: Storage, fingerprint: dict[str, Any]) -> None:
    """Makes the folder this job's own, or checks that it is. Raises OutputError naming what differs."""
    found = read_claim(output)
    if found is None:
        output.write(JOB_FILE, (json.dumps(fingerprint, indent=2) + "\n").encode())
    else:
        check_claim(output, found, fingerprint)


def check_claim(output: Storage, found: dict[str, Any], fingerprint: dict[str, Any]) -> None:
    """Raises OutputError naming what differs between the job that a folder belongs to and this one."""
    differing = _differences(found, fingerprint)
    if differing:
        lines = "\n".join(f"  {line}" for line in differing)
        raise OutputError(
            f"{output.uri} belongs to another job; it differs in:\n{lines}\n"
            "use another output folder, or the job file that began this one"
        )


def read_plan(output: Storage) -> Plan | None:
    """The plan that an earlier run left, or None."""
    try:
        return Plan.from_bytes(output.read(PLAN_FILE))
    except FileNotFoundError:
        return None


def write_plan(output: Storage, plan: Plan) -> None:
    """Keeps the plan for the runs to come."""
    output.write(PLAN_FILE, plan.to_bytes())


def committed(output: Storage) -> set[str]:
    """The names of the parts that are there; half-written files of a killed run are removed."""
    _remove_temporaries(output)
    return {one.path for one in output.at(DATA).objects()}


def read_success(output: Storage) -> Totals | None:
    """The totals of a complete job, or None while it is not complete."""
    try:
        return Totals(**json.loads(output.read(SUCCESS_FILE))["totals"])
    except FileNotFoundError:
        return None


def finish(output: Storage, plan: Plan, results: Iterable[PartResult]) -> Totals:
    """Counts everything again from what lies in the folder, and writes `_SUCCESS` if it adds up.

    `results` are those of this run; parts of earlier runs are asked for theirs. Raises OutputError if a part is missing
    or the rows do not add up: then there is no `_SUCCESS`.
    """
    known = {result.part: result for result in results}
    there = committed(output)
    missing = [chunk for chunk in plan.chunks if chunk.part not in there]
    if missing:
        raise OutputError(f"{output.uri} lacks {len(missing)} parts, the first of {missing[0]}; run the job again")
    with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
        parts = list(pool.map(lambda chunk: known.get(chunk.part) or read_result(output, chunk.part), plan.chunks))
    for chunk, part in zip(plan.chunks, parts, strict=True):
        _check_sum(output, chunk, part)
    _settle_rejected(output, parts)
    totals = Totals(
        plan.rows, sum(part.scored for part in parts), sum(part.rejected for part in parts), len(plan.chunks)
    )
    manifest = {"totals": asdict(totals), "parts": [asdict(part) for part in parts]}
    output.write(SUCCESS_FILE, json.dumps(manifest).encode())
    return totals


def _check_sum(output: Storage, chunk: Chunk, part: PartResult) -> None:
    if part.scored + part.rejected != chunk.rows:
        raise OutputError(
            f"{output.uri}/{DATA}/{part.part}: {part.scored} scored + {part.rejected} rejected are not the "
            f"{chunk.rows} rows of {chunk}; delete this part and run again"
        )


def _settle_rejected(output: Storage, parts: list[PartResult]) -> None:
    """Every rejected part that must be there is; one that a dead attempt left beside a good part goes."""
    there = {one.path for one in output.at(REJECTED).objects()}
    wanted = {part.part for part in parts if part.rejected}
    for lost in sorted(wanted - there):
        raise OutputError(f"{output.uri}/{REJECTED}/{lost} is missing; delete {DATA}/{lost} and run again")
    for stale in sorted(there - wanted):
        output.delete(f"{REJECTED}/{stale}")


def _remove_temporaries(output: Storage) -> None:
    if output.local is not None:
        for path in output.local.rglob(".*"):
            if path.is_file() and is_temporary(path.name):
                path.unlink(missing_ok=True)


def _differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted({*found, *wanted})
        return [
            line for key in keys for line in _differences(found.get(key), wanted.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if found == wanted else [f"{name}: there {json.dumps(found)}, here {json.dumps(wanted)}"]
