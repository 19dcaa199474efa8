"""Whose output folder it is: `_job.json` holds what decides the answers of its job, `_plan.parquet` the job's plan."""

from __future__ import annotations

import json
from typing import Any

from ray_pipeline.errors import OutputError
from ray_pipeline.output.explained import explained
from ray_pipeline.output.fingerprint import Fingerprint, as_earlier
from ray_pipeline.plan import Plan
from ray_pipeline.spec import JobSpec
from triton_models.errors import cut
from triton_models.storage import Storage
from triton_models.typed_json import loads

JOB_FILE = "_job.json"
PLAN_FILE = "_plan.parquet"

_LONGEST = 500
"""A value that differs is told up to so many characters."""


def read_claim(output: Storage) -> Fingerprint | None:
    """The fingerprint of the job that this folder belongs to, or None if it is free.

    Raises OutputError if the folder holds something that no job wrote.
    """
    try:
        with explained(output, JOB_FILE, "is not readable", "choose another folder"):
            return _fingerprint_of(loads(output.read(JOB_FILE)))
    except FileNotFoundError:
        strangers = output.objects()
        if strangers:
            raise OutputError(
                f"{output.uri} holds other files ({strangers[0].path}) and no {JOB_FILE}; "
                "choose an empty or a new folder"
            ) from None
        return None


def _fingerprint_of(found: Any) -> Fingerprint:
    models = found.get("models") if isinstance(found, dict) else None
    if isinstance(models, list) and all(isinstance(one, dict) and {"name", "version"} <= one.keys() for one in models):
        return dict(found)
    raise ValueError("it does not say which models")


def claim(output: Storage, fingerprint: Fingerprint) -> None:
    """Makes the folder this job's own, or checks that it is. Raises OutputError naming what differs."""
    found = read_claim(output)
    if found is None:
        output.write(JOB_FILE, (json.dumps(fingerprint, indent=2) + "\n").encode())
    else:
        check_claim(output, found, fingerprint)


def check_claim(output: Storage, found: Fingerprint, fingerprint: Fingerprint) -> None:
    """Raises OutputError naming what differs between the job that a folder belongs to and this one."""
    differing = _differences(found, fingerprint)
    if differing:
        lines = "\n".join(f"  {line}" for line in differing)
        raise OutputError(
            f"{output.uri} belongs to another job; it differs in:\n{lines}\n"
            "use another output folder, or the job file that began this one"
        )


def check_job(output: Storage, found: Fingerprint, spec: JobSpec) -> None:
    """Raises OutputError naming what differs between the job that a folder belongs to and a job file.

    What only a server or a repository can tell is not compared: the newest version of a model, and its checksum.
    """
    check_claim(output, found, as_earlier(spec, found))


def read_plan(output: Storage) -> Plan | None:
    """The plan that an earlier run left, or None. Raises OutputError for one that cannot be read."""
    try:
        with explained(output, PLAN_FILE, "is no plan of a job", "use a new output folder"):
            return Plan.from_bytes(output.read(PLAN_FILE))
    except FileNotFoundError:
        return None


def write_plan(output: Storage, plan: Plan) -> None:
    """Keeps the plan for the runs to come."""
    output.write(PLAN_FILE, plan.to_bytes())


def _differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted({*found, *wanted})
        return [
            line for key in keys for line in _differences(found.get(key), wanted.get(key), f"{name}.{key}".lstrip("."))
        ]
    there, here = (cut(json.dumps(one), _LONGEST) for one in (found, wanted))
    return [] if found == wanted else [f"{cut(name)}: there {there}, here {here}"]
