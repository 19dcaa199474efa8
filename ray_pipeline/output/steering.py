"""What an operator has said of a running job, from anywhere: a small object in its output folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from ray_pipeline.errors import OutputError
from ray_pipeline.output.claim import JOB_FILE
from triton_models.storage import Storage, open_storage

STEERING_FILE = "_steering.json"


@dataclass(frozen=True)
class Steering:
    """Whether the job is paused, and how many of its batches may be in flight at each node (None: no limit by hand)."""

    paused: bool = False
    most_in_flight: int | None = None


def read_steering(output: Storage) -> Steering:
    """What was said last; nothing at first. Raises OutputError if it cannot be understood."""
    try:
        found = json.loads(output.read(STEERING_FILE))
    except FileNotFoundError:
        return Steering()
    except ValueError as error:
        raise OutputError(f"{output.uri}/{STEERING_FILE} is not readable ({error}); delete it") from error
    match found:
        case {"paused": bool(paused), "most_in_flight": None | int() as most} if most is None or most >= 0:
            return Steering(paused, most)
    raise OutputError(f"{output.uri}/{STEERING_FILE} makes no sense ({found}); delete it")


def steer(uri: str, endpoint_url: str | None, **changes: Any) -> None:
    """Changes what is said of the job of an output folder; its actors look every few seconds.

    Raises OutputError if the folder is not that of a job.
    """
    output = open_storage(uri, endpoint_url)
    if output.stat(JOB_FILE) is None:
        raise OutputError(f"{output.uri} is not the output of a job: it has no {JOB_FILE}")
    steering = replace(read_steering(output), **changes)
    output.write(STEERING_FILE, (json.dumps(asdict(steering)) + "\n").encode())
